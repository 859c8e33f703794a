// The standard streams of a tool, at its begin and at its end.
#ifndef XLM_TOOLS_STREAMS_H
#define XLM_TOOLS_STREAMS_H

// What was started without a standard stream gets an empty one: else the next file that is opened takes its
// place, and messages are written into it.
void xlm_streams_open(void);
// The exit code of a tool that ends with `code`: 2, after a sentence on stderr, when what was printed has not
// arrived (a full disk, say). A reader who has left, as `| head` does, is no failure.
int xlm_streams_close(const char *tool, int code);

#endif
