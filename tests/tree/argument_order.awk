# Two calls that make nodes in one argument list: C leaves open which comes first, and compilers differ, so that the
# graph would depend on the compiler. Also in the elements of one initialiser.
#
#   awk -f argument_order.awk FILE.c...    prints FILE:LINE: FUNCTION of each; exit status 1 when there is one
#
# Who makes nodes is read from the sources: what appends to a graph's nodes, values or dimensions, and whoever calls that.
# Static functions count in their own file only.

# Text without comments, strings, characters and preprocessor lines, split into tokens t[], with their lines at[].
function tokenise(file,   text, s, line, n, c, rest) {
  n = 0; line = 0; in_comment = 0
  while ((getline text < file) > 0) {
    line++
    if (!in_comment && (continued || text ~ /^[ \t]*#/)) { continued = text ~ /\\$/; continue }
    while (text != "") {
      if (in_comment) {
        if (!(c = index(text, "*/"))) { text = ""; break }
        text = substr(text, c + 2); in_comment = 0
      } else if (match(text, /^[ \t]+/)) text = substr(text, RLENGTH + 1)
      else if (substr(text, 1, 2) == "//") text = ""
      else if (substr(text, 1, 2) == "/*") { in_comment = 1; text = substr(text, 3) }
      else if (match(text, /^"([^"\\]|\\.)*"/) || match(text, /^'([^'\\]|\\.)*'/) || match(text, /^[A-Za-z_][A-Za-z_0-9]*/) ||
               match(text, /^[0-9][A-Za-z_0-9.]*/)) {
        t[++n] = substr(text, 1, RLENGTH); at[n] = line; text = substr(text, RLENGTH + 1)
      } else { t[++n] = substr(text, 1, 1); at[n] = line; text = substr(text, 2) }
    }
  }
  close(file)
  return n
}

function is_name(s) {
  return s ~ /^[A-Za-z_]/ && s !~ /^(if|for|while|switch|return|sizeof|else|do|case|_Alignof)$/
}

# The file's tokens and where each bracket closes; its functions and whom they call.
function load(file,   n, i, depth, open, name, fixed, body_end, k) {
  n = tokenise(file)
  count[file] = n
  depth = 0
  for (i = 1; i <= n; i++) {
    token[file, i] = t[i]; where[file, i] = at[i]
    if (t[i] ~ /^[([{]$/) open[++depth] = i
    if (t[i] ~ /^[])}]$/ && depth) closes[file, open[depth--]] = i
  }
  fixed = 0
  for (i = 1; i <= n; i++) {
    if (t[i] == "static") fixed = 1
    if (t[i] == ";" || t[i] == "}") fixed = 0
    if (is_name(t[i]) && t[i + 1] == "(" && t[closes[file, i + 1] + 1] == "{") {
      name = fixed ? file SUBSEP t[i] : t[i]
      if (fixed) own[file, t[i]] = 1
      body_end = closes[file, closes[file, i + 1] + 1]
      for (k = closes[file, i + 1] + 2; k < body_end; k++) {
        if (t[k] == "XLM_PUSH" && file ~ /(^|\/)compiler\/ir\//) note_push(file, k, name)
        if (is_name(t[k]) && t[k + 1] == "(") { calls++; caller[calls] = name; callee[calls] = t[k]; in_file[calls] = file }
      }
      i = body_end; fixed = 0
    } else if (t[i] == "{") { i = closes[file, i]; if (t[i + 1] == ";") fixed = 0 }
  }
}

function note_push(file, k, name,   i) { # XLM_PUSH(arena, g->nodes, ..
  for (i = k; i < k + 12; i++)
    if (t[i] ~ /^(nodes|values|dims)$/ && t[i - 1] == ">") makes[name] = 1
}

function makes_nodes(file, name) {
  return ((file, name) in own) ? ((file SUBSEP name) in makes) : (name in makes)
}

# Parts of brackets `from` that make nodes; brackets with a `;` are no list.
function making_parts(file, from,   i, to, parts, has) {
  to = closes[file, from]; parts = 0; has = 0
  for (i = from + 1; i < to; i++) {
    if (token[file, i] == ";") return 0
    if (token[file, i] == ",") { parts += has; has = 0 }
    if (is_name(token[file, i]) && token[file, i + 1] == "(" && makes_nodes(file, token[file, i])) has = 1
    if (token[file, i] ~ /^[([{]$/) { has = has || makes_within(file, i); i = closes[file, i] }
  }
  return parts + has
}

function makes_within(file, from,   i) {
  for (i = from + 1; i < closes[file, from]; i++)
    if (is_name(token[file, i]) && token[file, i + 1] == "(" && makes_nodes(file, token[file, i])) return 1
  return 0
}

function check(file,   i, list) {
  for (i = 2; i <= count[file]; i++) {
    list = token[file, i] == "(" && is_name(token[file, i - 1])
    list = list || (token[file, i] == "{" && token[file, i - 1] ~ /^[=)\],{]$/)
    if (list && making_parts(file, i) > 1) {
      print file ":" where[file, i] ": " token[file, i - 1] " " token[file, i]
      bad = 1
    }
  }
}

BEGIN {
  for (f = 1; f < ARGC; f++) load(ARGV[f])
  do {
    grown = 0
    for (i = 1; i <= calls; i++)
      if (!(caller[i] in makes) && makes_nodes(in_file[i], callee[i])) { makes[caller[i]] = 1; grown = 1 }
  } while (grown)
  for (f = 1; f < ARGC; f++) check(ARGV[f])
  exit bad
}
