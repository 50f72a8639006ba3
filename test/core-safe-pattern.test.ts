import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { FormatError, UnsupportedError } from '../src/core/errors.js'
import { compilePattern } from '../src/core/safe-pattern.js'
import { HANG_MS } from './support/hang.js'

const FILE = 'adapter_config.json'
const compile = (source: string) => compilePattern(source, FILE)

// patterns on which Python, JavaScript and this matcher agree, with names of few letters so that many match
const atom = fc.oneof(
  fc.constantFrom('a', 'b', 'l', '0', '1', '_', '.', '\\.', '\\d', '\\D', '\\w', '\\W', '\\s', '\\S', '[ab]', '[^a]', '[a-l0-1]', '[^\\d.]', '[\\w.-]', '[.]'),
  fc.constantFrom('^', '$', '\\b', '\\B'),
)
const repeats = fc.constantFrom('', '', '', '*', '+', '?', '{2}', '{0,2}', '{1,}', '*?', '+?', '??')
const { pattern } = fc.letrec<{ pattern: string; sequence: string; item: string }>((tie) => ({
  item: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.tuple(atom, repeats).map(([text, repeat]) => (/^(?:[\^$]|\\[bB])$/.test(text) ? text : text + repeat)),
    fc.tuple(tie('pattern'), fc.constantFrom('(', '(?:'), repeats).map(([text, opening, repeat]) => `${opening}${text})${repeat}`),
  ),
  sequence: fc.array(tie('item'), { maxLength: 4 }).map((items) => items.join('')),
  pattern: fc.array(tie('sequence'), { minLength: 1, maxLength: 3 }).map((options) => options.join('|')),
}))
const text = fc.string({ unit: fc.constantFrom('a', 'b', 'l', '0', '1', '_', '.', ' ', '-'), minLength: 1, maxLength: 6 }) // Python's \B differs on an empty text

describe('safe patterns', () => {
  it('match what a JavaScript RegExp matches, for random patterns and texts', () => {
    fc.assert(
      fc.property(pattern, fc.array(text, { minLength: 1, maxLength: 6 }), (source, texts) => {
        const ours = compile(source)
        fc.pre(!ours.explodesInPython) // JavaScript would not come back either
        for (const sample of texts) {
          assert.equal(ours.search(sample), new RegExp(source).test(sample), `search ${source} in ${sample}`)
          assert.equal(ours.matchStart(sample), new RegExp(`^(?:${source})`).test(sample), `match ${source} on ${sample}`)
          assert.equal(ours.fullMatch(sample), new RegExp(`^(?:${source})$`).test(sample), `fullmatch ${source} on ${sample}`)
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('take linear time where backtracking takes exponential time', () => {
    const started = performance.now()
    for (const source of ['(a+)+$', '(.*.*)*x', '(a|a)*b', '(a|aa)+$', '(?:a?){64}a{64}b'])
      assert.equal(compile(source).fullMatch(`${'a'.repeat(5000)}!`), false)
    assert.ok(performance.now() - started < HANG_MS)
  })

  it('stop with a message when the pattern is too large to be followed', () => {
    const huge = ['(((a{1000}){1000}){1000})', '((((){9999}){9999}){9999})', '(a|b){60000}', 'a{70000}', '('.repeat(5000) + ')'.repeat(5000)]
    for (const source of huge) assert.throws(() => compile(source), UnsupportedError, source)
    assert.throws(() => compile('a'.repeat(65_537)), UnsupportedError)
    const slow = compilePattern('(a?){5000}', FILE, { stepsLeft: 1_000_000 })
    assert.throws(() => slow.fullMatch('a'.repeat(4000)), UnsupportedError)
  })

  it('know which patterns explode in a backtracking matcher', () => {
    for (const source of ['(a+)+$', '(.*.*)*x', '(a*)*', '((?:a+|b))+', '(\\w+b?)*']) assert.equal(compile(source).explodesInPython, true, source)
    for (const source of ['(a+\\.)+', '.*\\.q_proj', 'layers\\.\\d+\\.(q|k)_proj', '(?:\\d+\\.)*x', '(ab)*', 'a+b+', '(a+)?'])
      assert.equal(compile(source).explodesInPython, false, source)
  })

  it('refuse what needs backtracking, by name', () => {
    const refused = [
      ['(?=a)', 'lookahead'],
      ['(?!a)b', 'negative lookahead'],
      ['(?<=a)b', 'lookbehind'],
      ['(?<!a)b', 'negative lookbehind'],
      ['(a)\\1', 'backreferences'],
      ['(?P<n>a)(?P=n)', 'backreferences'],
      ['(?i)a', 'flags'],
      ['(?>a)', 'atomic'],
      ['a++', 'possessive'],
    ] as const
    for (const [source, name] of refused)
      assert.throws(
        () => compile(source),
        (error: unknown) => error instanceof UnsupportedError && error.message.includes(name),
        source,
      )
  })

  it('call malformed what Python does not compile', () => {
    for (const source of ['((', 'a)', '*a', 'a**', 'a{2}{3}', '[a', '[z-a]', 'a\\', '\\q', '^*', '|*', '(?a', '(?P<1>a)', 'a{3,2}', '[a-\\d]', '\\x4']) {
      assert.throws(
        () => compile(source),
        (error: unknown) => error instanceof FormatError || (source === '(?a' && error instanceof UnsupportedError),
        source,
      )
    }
  })

  it('follow Python where JavaScript differs', () => {
    assert.equal(compile('x$').matchStart('x\n'), true) // `$` also before a final newline
    assert.equal(compile('x$').fullMatch('x\n'), false)
    assert.equal(compile('x\\Z').matchStart('x\n'), false)
    assert.equal(compile('a{').fullMatch('a{'), true) // `{` is literal when it starts no repeat
    assert.equal(compile('a{,2}').fullMatch('aa'), true)
    assert.equal(compile('a{,2}').fullMatch('aaa'), false)
    assert.equal(compile('[]a]+').fullMatch(']a'), true) // `]` first in a class is itself
    assert.equal(compile('[[a]').fullMatch('['), true)
    assert.equal(compile('\\d\\w').fullMatch('٣é'), true) // Unicode digits and letters
    assert.equal(compile('^.$').fullMatch('😀'), true) // one character, not two halves
    assert.equal(compile('(?P<layer>a)').fullMatch('a'), true)
    assert.equal(compile('.').fullMatch('\n'), false)
  })
})
