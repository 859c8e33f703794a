// The files for VS Code and tree-sitter, without those programs: the JSON is JSON and names files that exist, the
// expressions of the TextMate grammar compile and match at the right places, and the tree-sitter grammar, read by a
// recogniser for context-free grammars (Earley), accepts every model and no broken one.
const fs = require('fs');
const path = require('path');
const root = path.resolve(process.argv[2]);
const code = path.join(root, 'editors/vscode');
let failed = false;
const complain = (text) => {
  console.error(`FAILED: ${text}`);
  failed = true;
};
const json = (file) => JSON.parse(fs.readFileSync(file, 'utf8'));

// --- VS Code

const manifest = json(path.join(code, 'package.json'));
const { languages, grammars } = manifest.contributes;
for (const file of [manifest.main, languages[0].configuration, grammars[0].path])
  if (!fs.existsSync(path.join(code, file))) complain(`package.json names ${file}, which does not exist`);
const settings = json(path.join(code, languages[0].configuration));
for (const pattern of [settings.wordPattern, ...Object.values(settings.indentationRules)]) new RegExp(pattern);
new Function('require', 'exports', fs.readFileSync(path.join(code, manifest.main), 'utf8'));

const textmate = json(path.join(code, grammars[0].path));
for (const { include } of textmate.patterns) if (!textmate.repository[include.slice(1)]) complain(`no rule ${include}`);
// rule, line, and what it must find (null: nothing)
for (const [rule, line, want] of [
  ['statement', 'param w[a] ~ ones', 'param'], ['statement', 'state = 3', null], ['statement', 'h = param', null],
  ['definition', 'block norm(x) -> [a] {', 'block norm'], ['clause', 'repeat 3 as i over pp {', 'as'], ['clause', 'f(over = 2)', null],
  ['argument', 'rope(x, base = 2)', ' base'], ['argument', 'attend(q, k, v, causal)', ' causal'], ['argument', 'base = 2', null],
  ['call', 'h = rmsnorm(x)', 'rmsnorm'], ['call', 'h = rmsnorm', null], ['value', 'param w[a] ~ normal(1)', ' normal'],
  ['value', 'normal = 3', null], ['constant', 'a = true', 'true'], ['number', 'a = 1_000.5e-3', '1_000.5e-3'],
]) {
  const found = line.match(new RegExp(textmate.repository[rule].match));
  if ((found && found[0]) !== want) complain(`${rule} finds ${found && found[0]}, not ${want}, in: ${line}`);
}

// --- tree-sitter: the functions of its grammars, as data

const rule = (x) => (typeof x === 'string' || x instanceof RegExp ? { type: 'token', of: x } : x);
const group = (type) => (...of) => ({ type, of: of.map(rule) });
const last = (...args) => rule(args[args.length - 1]); // precedence and fields have no influence on what is accepted
Object.assign(global, {
  seq: group('seq'), choice: group('choice'), repeat: group('repeat'), optional: group('optional'),
  repeat1: (x) => global.seq(x, global.repeat(x)), field: last, prec: Object.assign(last, { left: last, right: last }),
  token: Object.assign(last, { immediate: (x) => ({ type: 'token', of: x, immediate: true }) }),
  grammar: (g) => g,
});
const grammar = require(path.join(root, 'editors/tree-sitter-xlm/grammar.js'));
const $ = new Proxy({}, {
  get: (_, name) => {
    if (!grammar.rules[name]) complain(`the grammar has no rule ${String(name)}`);
    return { type: 'name', of: name };
  },
});
const rules = Object.fromEntries(Object.entries(grammar.rules).map(([name, f]) => [name, rule(f($))]));

// Plain productions: symbol -> list of lists of symbols or tokens.
const productions = new Map();
let made = 0;
const symbol = (x) => {
  if (x.type === 'token') return x;
  if (x.type === 'name') return rules[x.of].type === 'token' ? { ...rules[x.of], name: x.of } : x.of;
  const name = `#${made++}`;
  const all = x.of.map(symbol);
  productions.set(name, x.type === 'seq' ? [all] : x.type === 'choice' ? all.map((s) => [s])
    : x.type === 'optional' ? [[], all] : [[], [name, ...all]]);
  return name;
};
for (const name of Object.keys(rules)) if (rules[name].type !== 'token') productions.set(name, [[symbol(rules[name])]]);

const keywords = new Set();
for (const lists of productions.values())
  for (const s of lists.flat()) if (typeof s.of === 'string' && /^[a-z]/.test(s.of)) keywords.add(s.of);

const tokens = (text) => {
  const list = [];
  const all = /#[^\n]*|"(?:[^"\\\n]|\\.)*"|[A-Za-z_]\w*|[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][-+]?[0-9]+)?|->|\.\.|\*\*|[=!<>]=|\S/g;
  for (const m of text.matchAll(all)) if (m[0][0] !== '#') list.push({ text: m[0], at: m.index, joined: /\S/.test(text[m.index - 1] || ' ') });
  return list;
};
const matches = (want, t) => {
  if (want.immediate && !t.joined) return false;
  if (typeof want.of === 'string') return want.of === t.text;
  return new RegExp(`^(?:${want.of.source})$`).test(t.text);
};

// The first token that cannot follow; -1: the text is accepted.
const recognise = (list) => {
  let here = new Map();
  const key = (i) => `${i.symbol} ${i.index} ${i.dot} ${i.from}`;
  const sets = [];
  const start = (set, symbolName, from) => productions.get(symbolName).forEach((_, index) => {
    const item = { symbol: symbolName, index, dot: 0, from };
    if (!set.has(key(item))) set.set(key(item), item);
  });
  start(here, 'source', 0);
  for (let i = 0; i <= list.length; i++) {
    const next = new Map();
    sets.push(here);
    const done = new Set(); // symbols that end here without a token
    for (const item of here.values()) {
      const s = productions.get(item.symbol)[item.index][item.dot];
      const step = { ...item, dot: item.dot + 1 };
      if (s === undefined) {
        if (item.from === i) done.add(item.symbol);
        for (const up of [...sets[item.from].values()])
          if (productions.get(up.symbol)[up.index][up.dot] === item.symbol) here.set(key({ ...up, dot: up.dot + 1 }), here.get(key({ ...up, dot: up.dot + 1 })) || { ...up, dot: up.dot + 1 });
      } else if (typeof s === 'string') {
        start(here, s, i);
        if (done.has(s) && !here.has(key(step))) here.set(key(step), step);
      } else if (i < list.length && matches(s, list[i])) {
        next.set(key(step), step);
      }
    }
    if (i === list.length) break;
    if (!next.size) return i;
    here = next;
  }
  return [...here.values()].some((i) => i.symbol === 'source' && i.from === 0 && i.dot === productions.get('source')[i.index].length) ? -1 : list.length;
};

const models = path.join(root, 'models');
for (const file of fs.readdirSync(models).filter((f) => f.endsWith('.xlm'))) {
  const text = fs.readFileSync(path.join(models, file), 'utf8');
  const list = tokens(text);
  const at = recognise(list);
  if (at >= 0) complain(`the tree-sitter grammar rejects ${file} at: ${list[at] ? text.slice(list[at].at, list[at].at + 40) : 'its end'}`);
}
for (const wrong of ['dim a 3', 'block f(x) { return x }', 'h = (a', 'param w ~ ones', 'repeat { x = 1 }', 'preset p { a }'])
  if (recognise(tokens(wrong)) < 0) complain(`the tree-sitter grammar accepts: ${wrong}`);

// every keyword of the grammar is highlighted
const queries = fs.readFileSync(path.join(root, 'editors/tree-sitter-xlm/queries/highlights.scm'), 'utf8');
for (const word of keywords) if (!queries.includes(`"${word}"`)) complain(`highlights.scm lacks "${word}"`);
for (const [, name] of queries.matchAll(/\(([a-z_]+)[ )]/g)) if (!rules[name]) complain(`highlights.scm names ${name}, which is no rule`);
process.exit(failed ? 1 : 0);
