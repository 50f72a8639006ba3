/** Front matter that is odd or hostile: bounded time and depth, never a throw. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { readFrontMatter } from '../src/model-card/front-matter.js'
import { plainScalar } from '../src/model-card/yaml-scalar.js'
import { HANG_MS } from './support/hang.js'

const block = (text: string): string => `---\n${text}\n---\n# Card\n`

// PyYAML 6.0.3: yaml.safe_load(text)
const SCALARS: readonly (readonly [text: string, value: unknown])[] = [
  ['', null],
  ['~', null],
  ['NULL', null],
  ['nUll', 'nUll'],
  ['yes', true],
  ['Off', false],
  ['y', 'y'],
  ['tRue', 'tRue'],
  ['12', 12],
  ['-1_000', -1000],
  ['0', 0],
  ['010', 8],
  ['08', '08'],
  ['0o7', '0o7'],
  ['0x_fF', 255],
  ['0b1_01', 5],
  ['+12', 12],
  ['1:30', 90],
  ['-1:00:00', -3600],
  ['0:1', '0:1'],
  ['12345678901234567890', 12345678901234567890n],
  ['9007199254740993', 9007199254740993n],
  ['1.', { float: 1 }],
  ['1.5e+3', { float: 1500 }],
  ['1.5e3', '1.5e3'],
  ['1e5', '1e5'],
  ['.5', { float: 0.5 }],
  ['-.5', '-.5'],
  ['1:30.5', { float: 90.5 }],
  ['-.inf', { float: Number.NEGATIVE_INFINITY }],
  ['.NaN', { float: Number.NaN }],
  ['2024-01-31', { other: 'a date' }],
  ['2024-1-31', '2024-1-31'],
  ['2001-12-14t21:59:43.10-05:00', { other: 'a date' }],
  ['v1.0', 'v1.0'],
  ['1.0.0', '1.0.0'],
  ['1'.repeat(4301), { other: 'a very long integer' }],
]

describe('plainScalar', () => {
  for (const [text, value] of SCALARS) {
    it(`reads ${text.slice(0, 30) || 'nothing'} as PyYAML does`, () => {
      assert.deepEqual(plainScalar(text), value)
    })
  }
})

describe('readFrontMatter', () => {
  it('takes a block only when the first line is exactly ---', async () => {
    for (const text of ['', '---', '# x\n---\na: b\n---\n', '--- \na: b\n---\n', '\n---\na: b\n---\n'])
      assert.deepEqual(await readFrontMatter(text), { data: new Map(), notes: [] })
    assert.deepEqual((await readFrontMatter('---\na: b\n---')).data, new Map([['a', 'b']]))
  })

  it('ends lines where Python does', async () => {
    assert.deepEqual(
      (await readFrontMatter('---\u2028a: b\x0bc: d\x85---\x1c[')).data,
      new Map([
        ['a', 'b'],
        ['c', 'd'],
      ]),
    )
  })

  it('reads to the end of the file when the block is not closed', async () => {
    assert.deepEqual((await readFrontMatter('---\na: b\n')).data, new Map([['a', 'b']]))
  })

  it('quotes "- no" only as a whole line', async () => {
    assert.deepEqual(
      (await readFrontMatter(block('a:\n- no\n- no \n- none\nb: [no]'))).data,
      new Map<string, unknown>([
        ['a', ['no', false, 'none']],
        ['b', [false]],
      ]),
    )
  })

  it('keeps keys that JavaScript objects stumble over', async () => {
    assert.deepEqual([...(await readFrontMatter(block('__proto__: x\nconstructor: y\n10: z\n"2": w'))).data.keys()], ['__proto__', 'constructor', '2'])
  })

  it('lets a later << win over an earlier one, and own keys over both', async () => {
    const { data } = await readFrontMatter(block('<<: {a: 1, b: 1, c: 1}\n<<: [{a: 2, b: 2}, {b: 3, d: 3}]\nb: 4'))
    assert.deepEqual(
      new Map([...data].sort(([a], [b]) => (a < b ? -1 : 1))),
      new Map([
        ['a', 2],
        ['b', 4],
        ['c', 1],
        ['d', 3],
      ]),
    )
  })

  it('shares the value of an anchor instead of copying it: a billion laughs cost nothing', async () => {
    const levels = Array.from(
      { length: 40 },
      (_, level) => `a${level}: &a${level} [${level === 0 ? 'x' : Array.from({ length: 9 }, () => `*a${level - 1}`).join(', ')}]`,
    )
    const { data, notes } = await readFrontMatter(block(levels.join('\n')))
    assert.equal(data.size, 40)
    assert.deepEqual(notes, [])
  })

  it('survives an alias to itself', async () => {
    assert.deepEqual((await readFrontMatter(block('a: &a [*a]'))).data.get('a'), [{ other: 'an alias without an anchor before it' }])
  })

  it('notes an unknown tag and takes its value as text', async () => {
    const { data, notes } = await readFrontMatter(block('a: !!python/object:os.system x'))
    assert.equal(data.get('a'), 'x')
    assert.match(notes[0] ?? '', /python\/object:os.system/)
  })

  const HOSTILE: readonly (readonly [what: string, text: string, why: RegExp])[] = [
    ['brackets 501 deep', `a: ${'['.repeat(501)}`, /nested too deeply/],
    ['a million brackets', `a: ${'['.repeat(1_000_000)}`, /nested too deeply|parts/],
    ['65 levels that are closed', `a: ${'['.repeat(65)}${']'.repeat(65)}`, /nested too deeply/],
    ['maps nested by indentation', Array.from({ length: 1400 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'), /not used/],
    ['dashes on one line', '- '.repeat(600), /nested too deeply/],
    ['more than 2 MiB', `a: ${'x'.repeat(2_097_152)}`, /more than 2097152 characters/],
    ['more than 150,000 parts', 'a: b\n'.repeat(75_001), /more than 150000 parts/],
    [
      'merges of large maps',
      `a: &a {${Array.from({ length: 10_000 }, (_, key) => `k${key}: v`).join(', ')}}\nb:\n${'  <<: *a\n'.repeat(1000)}`,
      /merges too many keys/,
    ],
    ['a merge of a text', '<<: x', /stands for a value that is no map/],
    ['two documents', 'a: b\n--- \nc: d', /not used/],
    ['a list', '- a', /not a list of "key: value" lines|not used/],
    ['control characters in a message', 'a: b: \u001b[31m', /not used/],
  ]
  for (const [what, text, why] of HOSTILE) {
    it(`refuses ${what}, soon and with a note`, async () => {
      const start = performance.now()
      const { data, notes } = await readFrontMatter(block(text))
      assert.equal(data.size, 0)
      assert.equal(notes.length, 1)
      assert.match(notes[0] ?? '', why)
      // oxlint-disable-next-line no-control-regex -- a note must not hold any
      assert.doesNotMatch(notes[0] ?? '', /[\x00-\x1f]/)
      assert.ok(performance.now() - start < HANG_MS)
    })
  }

  it('reads a block at the limit of parts', async () => {
    assert.equal((await readFrontMatter(block('a: b\n'.repeat(74_000)))).data.get('a'), 'b')
  })

  it('reads 64 levels', async () => {
    assert.deepEqual((await readFrontMatter(block(`a: ${'['.repeat(63)}${']'.repeat(63)}`))).notes, [])
  })
})
