// What the build puts into the library: the page's style and scripts.
#ifndef XLM_WATCHING_REPORT_PRIV_H
#define XLM_WATCHING_REPORT_PRIV_H

extern const char xlm_report_style[], xlm_report_script[]; // report.css; html_base.js, report_lists.js and report.js

#endif
