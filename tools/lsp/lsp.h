// A language server for models: the Language Server Protocol 3.17 over two file descriptors.
#ifndef XLM_LSP_LSP_H
#define XLM_LSP_LSP_H

// Serves one client until it sends `exit` or its side is closed. The exit code: 0 after `shutdown`, else 1,
// as the protocol says; 2 without memory to start.
int xlm_lsp_serve(int in, int out);

#endif
