// Model files, for tree-sitter. Wider than grammar/xlm.y: words are keywords by their place only, so a statement is
// recognised by its first word and a line end, and what it may hold is left to the compiler.
const list = (item) => seq(item, repeat(seq(',', item)));

module.exports = grammar({
  name: 'xlm',
  word: ($) => $.name,
  extras: ($) => [/[ \t\r\n]/, $.comment],

  rules: {
    source: ($) => repeat($._statement),

    _statement: ($) =>
      choice(
        $.model, $.use, $.definition, $.check, $.shard, $.block, $.input, $.tensor, $.update, $.assignment, $.result,
        $.repeat, $.if, $.output, $.metric, $.preset, $.group, $.weights, $.config,
      ),

    model: ($) => seq('model', field('name', $.name)),
    use: ($) => seq('use', $.string),
    definition: ($) =>
      seq(choice('dim', 'let'), field('name', $.name), '=', $._expression, optional(seq('as', list($.name)))),
    check: ($) => prec.right(seq('check', $._expression, optional(seq(',', $.string)))),
    shard: ($) => seq('shard', list($.name), 'over', list($.name), optional(seq('where', $.name))),
    block: ($) =>
      seq('block', field('name', $.name), optional(seq('[', list($.name), ']')), '(', optional(list($.parameter)), ')', '->', list($.dims), $.body),
    parameter: ($) => seq(field('name', $.name), optional($.dims)),
    body: ($) => seq('{', repeat($._statement), '}'),
    input: ($) =>
      prec.right(
        seq('input', field('name', $.name), $.dims, optional(seq('of', $.name)), optional(seq('from', $.name)),
          optional(seq('shifted', $._expression))),
      ),
    tensor: ($) => seq(choice('param', 'state'), field('name', $.name), $.dims, '~', $._expression),
    dims: ($) => seq('[', optional(list($.dim)), ']'),
    dim: ($) => choice('..', seq($.name, optional(seq('over', choice($.name, seq('(', list($.name), ')')))))),
    update: ($) => seq('update', $.name, '=', $._expression),
    assignment: ($) => seq(choice($._target, seq('(', list($._target), ')')), '=', $._expression),
    _target: ($) => choice($.name, $.element),
    result: ($) => seq(choice('return', 'loss'), $._expression),
    repeat: ($) =>
      seq(optional('recompute'), 'repeat', $._expression, optional(seq('as', $.name)), optional(seq('over', $.name)),
        optional('shared'), $.body),
    if: ($) => seq('if', $._expression, $.body, optional(seq('else', choice($.if, $.body)))),
    output: ($) => seq('output', list($.name)),
    metric: ($) => seq('metric', field('name', $.name), '=', $._expression),
    preset: ($) => seq('preset', field('name', $.name), $.settings),
    group: ($) => seq('group', $.string, $.settings),
    settings: ($) => seq('{', repeat($.setting), '}'),
    setting: ($) => seq(field('name', $.name), '=', $._expression),
    weights: ($) => seq('weights', field('name', $.name), '{', repeat($.entry), '}'),
    entry: ($) =>
      seq($.path, '=', $.string, optional($.layout), optional(seq('where', list($.split))),
          optional(seq('as', $._expression)), optional('optional')),
    split: ($) => seq($.name, '=', repeat1($.name)),
    path: ($) => seq($.name, repeat(choice(seq('.', $.name), seq('[', choice($.name, $.number), ']')))),
    layout: ($) => seq('[', optional(list($.part)), ']'),
    part: ($) => repeat1(choice($.name, seq($.number, 'of', choice($.number, seq('(', list($.size), ')'))))),
    size: ($) => repeat1(choice($.name, $.number)),
    config: ($) => seq('config', field('name', $.name), $.object),
    object: ($) => seq('{', repeat($.member), '}'),
    member: ($) => seq(field('name', choice($.name, $.string)), '=', $._value),
    _value: ($) => choice($._expression, $.values, $.object),
    values: ($) => seq('[', optional(list(choice($._value, $.rounds))), ']'),
    rounds: ($) => seq('repeat', $._expression, optional(seq('as', $.name)), '{', list($._value), '}'),

    _expression: ($) =>
      choice($.name, $.number, $.string, $.element, $.call, $.unary, $.binary, $.choice, $.tuple),
    tuple: ($) => seq('(', list($._expression), ')'),
    // without a blank before the bracket: the next line may begin with one
    element: ($) => seq($.name, token.immediate('['), $._expression, ']'),
    call: ($) =>
      seq(optional('recompute'), field('function', $.name), optional(seq('.', field('instance', $.name))),
        token.immediate('('), optional(list($._argument)), ')'),
    _argument: ($) => choice($._expression, $.named, $.over, $.arrow),
    named: ($) => seq(field('argument', $.name), '=', $._expression),
    over: ($) => seq('over', $.name),
    arrow: ($) => seq(repeat1($.name), '->', repeat1($.name)),
    choice: ($) => prec.right(0, seq('if', $._expression, 'then', $._expression, 'else', $._expression)),
    unary: ($) => choice(prec(7, seq('-', $._expression)), prec(3, seq('not', $._expression))),
    binary: ($) =>
      choice(
        ...[[1, 'or'], [2, 'and'], [4, '=='], [4, '!='], [4, '<'], [4, '<='], [4, '>'], [4, '>='], [5, '+'], [5, '-'],
          [6, '*'], [6, '/'], [6, '%'], [6, '@']].map(([level, sign]) =>
          prec.left(level, seq($._expression, field('operator', sign), $._expression))),
        prec.right(8, seq($._expression, field('operator', '**'), $._expression)),
      ),

    name: () => /[A-Za-z_][A-Za-z0-9_]*/,
    number: () => /[0-9][0-9_]*(\.[0-9][0-9_]*)?([eE][-+]?[0-9]+)?/,
    string: () => /"([^"\\\n]|\\.)*"/,
    comment: () => /#[^\n]*/,
  },
});
