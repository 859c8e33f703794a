# Debian packages, by `cpack -G DEB` in the build folder. xlm depends on what xlmc and an xlmrun without MPI need;
# xlm-mpi has the same program with the MPI that was found, which xlmrun becomes under mpirun and srun. CUDA's
# libraries are loaded at run time and are no dependency.
set(alone xlmrun)
if(MPI_C_FOUND)
  set(alone xlmrun_without_mpi)
  install(TARGETS xlmrun RUNTIME DESTINATION ${XLM_PROGRAM_DIR} COMPONENT mpi EXCLUDE_FROM_ALL)
endif()
install(TARGETS ${alone} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT xlm EXCLUDE_FROM_ALL)

# What Debian asks of a package's documents.
set(deb_dir ${CMAKE_BINARY_DIR}/deb)
string(TIMESTAMP deb_date "%a, %d %b %Y %H:%M:%S +0000" UTC) # of SOURCE_DATE_EPOCH, if that is set
set(CPACK_PACKAGE_CONTACT "xlm maintainers <xlm@localhost.localdomain>" CACHE STRING "maintainer of the packages")
configure_file(changelog.in ${deb_dir}/changelog @ONLY)
execute_process(COMMAND gzip -9nf ${deb_dir}/changelog)
install(FILES copyright ${deb_dir}/changelog.gz DESTINATION ${doc_dir} COMPONENT xlm EXCLUDE_FROM_ALL)
install(FILES copyright ${deb_dir}/changelog.gz DESTINATION ${doc_dir}-mpi COMPONENT mpi EXCLUDE_FROM_ALL)

set(CPACK_PACKAGE_NAME xlm)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL xlm)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_XLM_PACKAGE_NAME xlm)
set(CPACK_DEBIAN_XLM_PACKAGE_SUGGESTS "xlm-mpi, graphviz")
set(CPACK_COMPONENT_XLM_DESCRIPTION "trains language models written as text
A compiler checks a model, derives its training step and turns it into a plan:
every kernel, every byte. A runtime executes that plan and nothing else.")
if(MPI_C_FOUND)
  list(APPEND CPACK_COMPONENTS_ALL mpi)
  set(CPACK_DEBIAN_MPI_PACKAGE_NAME xlm-mpi)
  set(CPACK_DEBIAN_MPI_PACKAGE_DEPENDS "xlm (= ${PROJECT_VERSION})")
  set(CPACK_DEBIAN_MPI_PACKAGE_RECOMMENDS "openmpi-bin | mpi-default-bin")
  set(CPACK_COMPONENT_MPI_DESCRIPTION "trains language models on several processes and hosts
The program that xlmrun of the package xlm becomes under mpirun and srun.")
endif()
include(CPack)
