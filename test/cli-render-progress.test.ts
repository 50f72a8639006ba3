/** Progress as text. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isWatched, phaseClock } from '../src/cli/progress-display.js'
import { duration, liveLine, plainLine, share } from '../src/cli/render-progress.js'
import { formatBytes } from '../src/cli/values.js'
import type { ProgressEvent } from '../src/engine/progress.js'

const event = (change: Partial<ProgressEvent> = {}): ProgressEvent => ({
  phase: 'write',
  doneBytes: 0,
  totalBytes: 4e9,
  current: 'blk.0.attn_q.weight',
  ...change,
})

describe('the live line', () => {
  it('has a bar, a share, GB/s, the time left and the tensor', () => {
    assert.equal(liveLine(event({ doneBytes: 1e9 }), 2000), 'writing ██████░░░░░░░░░░░░░░░░░░  25 % 0.50 GB/s 6 s left blk.0.attn_q.weight')
  })

  it('says nothing of speed before there is any', () => {
    assert.equal(liveLine(event(), 0), 'writing ░░░░░░░░░░░░░░░░░░░░░░░░   0 % blk.0.attn_q.weight')
    assert.equal(liveLine(event(), 100), 'writing ░░░░░░░░░░░░░░░░░░░░░░░░   0 % blk.0.attn_q.weight')
  })

  it('is full at the end, with no time left', () => {
    assert.equal(liveLine(event({ doneBytes: 4e9, phase: 'hash' }), 8000), 'hashing ████████████████████████ 100 % 0.50 GB/s blk.0.attn_q.weight')
  })

  it('shows 99 % until the last byte', () => assert.match(liveLine(event({ doneBytes: 4e9 - 1 }), 1000), / 99 % /))

  it('keeps the end of a long name, and no control characters of a bad one', () => {
    const line = liveLine(event({ current: `model.${'x'.repeat(100)}.weight` }), 0)
    assert.ok(line.endsWith('xxx.weight') && line.includes('…') && line.length < 80, line)
    assert.ok(liveLine(event({ current: 'a\u001b[2J\nb' }), 0).endsWith('a?[2J?b'))
  })

  it('fits the columns that there are: the name gives way first', () => {
    const at = (columns: number): string => liveLine(event({ doneBytes: 1e9, current: 'blk.0.attn_output.weight' }), 90_000, columns)
    for (let columns = 1; columns <= 130; columns++) assert.ok(at(columns).length <= columns, `${columns}: ${at(columns)}`)
    assert.ok(at(120).endsWith('GB/s 4 min 30 s left blk.0.attn_output.weight'))
    assert.ok(at(85).endsWith('4 min 30 s left ….attn_output.weight'), at(85))
    assert.ok(at(70).endsWith('4 min 30 s left'), at(70))
  })
})

describe('who gets a live line', () => {
  const terminal = { isTTY: true, columns: 80 }
  it('a terminal', () => assert.equal(isWatched(terminal, { TERM: 'xterm' }), true))
  for (const [what, stream, environment] of [
    ['a pipe', {}, {}],
    ['a terminal without a width', { isTTY: true, columns: 0 }, {}],
    ['a terminal of unknown width', { isTTY: true }, {}],
    ['a dumb terminal', terminal, { TERM: 'dumb' }],
    ['the log of a CI', terminal, { CI: 'true' }],
  ] as const) {
    it(`not ${what}`, () => assert.equal(isWatched(stream, environment), false))
  }
})

describe('the clock of a phase', () => {
  it('begins before its first event, or speeds would have no end', () => {
    let time = 1000
    const elapsed = phaseClock(() => time)
    time = 1100
    assert.equal(elapsed(event()), 100)
    time = 1500
    assert.equal(elapsed(event()), 500)
    time = 1600
    assert.equal(elapsed(event({ phase: 'hash' })), 100)
  })
})

describe('the plain line', () => {
  it('has share and sizes', () => assert.equal(plainLine(event({ doneBytes: 1e9 })), 'writing 25 % (1.00 GB of 4.00 GB)'))

  it('takes nothing to do as done', () => {
    assert.equal(share(event({ totalBytes: 0 })), 1)
    assert.equal(plainLine(event({ totalBytes: 0 })), 'writing 100 % (0 B of 0 B)')
  })

  it('never goes beyond 100 %', () => assert.equal(share(event({ doneBytes: 5e9 })), 1))
})

describe('times and sizes', () => {
  for (const [ms, text] of [
    [0, '0 s'],
    [-5, '0 s'],
    [1400, '1 s'],
    [59_499, '59 s'],
    [75_000, '1 min 15 s'],
    [3_600_000, '1 h 0 min'],
    [5_430_000, '1 h 30 min'],
  ] as const) {
    it(`${ms} ms is ${text}`, () => assert.equal(duration(ms), text))
  }

  for (const [bytes, text] of [
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [2_710_496, '2.71 MB'],
    [999_499, '999 kB'],
    [999_999, '1.00 MB'],
    [123_400_000_000, '123 GB'],
    [5e15, '5000 TB'],
  ] as const) {
    it(`${bytes} bytes are ${text}`, () => assert.equal(formatBytes(bytes), text))
  }
})
