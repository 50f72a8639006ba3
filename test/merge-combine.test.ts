/** Which adapters are added, with what weight, in what order. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Adapter } from '../src/core/adapter.js'
import type { LoraDelta } from '../src/core/delta.js'
import { wholeMatrix } from '../src/core/matrix-view.js'
import { combineAdapters, type WeightedAdapter } from '../src/merge/combine.js'
import { effectiveScale } from '../src/merge/variants.js'
import { memoryTensor } from './support/plans.js'

const tensor = (name: string, shape: readonly [number, number]): LoraDelta['A'] =>
  wholeMatrix(memoryTensor(name, 'F32', shape, new Uint8Array(shape[0] * shape[1] * 4)))

function delta(target: string, scale = 2): LoraDelta {
  return { variant: 'lora', target, module: target, A: tensor('A', [1, 3]), B: tensor('B', [2, 1]), rank: 1, scale }
}

function adapter(label: string, ...targets: readonly string[]): Adapter {
  return { label, kind: 'PEFT LoRA', deltas: targets.map((target) => delta(target)), files: [], notes: [] }
}

function weighted(label: string, digest: string, weight = 1, ...targets: readonly string[]): WeightedAdapter {
  return { adapter: adapter(label, ...targets), weight, digest }
}

describe('combineAdapters', () => {
  it('orders adapters by digest, whatever their order on the command line', () => {
    const [b, a, c] = [weighted('first', 'bb', 1, 'x'), weighted('second', 'aa', 1, 'x', 'y'), weighted('third', 'cc', 1, 'y')]
    for (const given of [
      [b, a, c],
      [c, b, a],
      [a, b, c],
    ]) {
      const { adapters, deltas, notes } = combineAdapters(given)
      assert.deepEqual(
        adapters.map(({ digest }) => digest),
        ['aa', 'bb', 'cc'],
      )
      assert.deepEqual(
        deltas.get('x')?.map(({ adapter }) => adapter),
        [0, 1],
      )
      assert.deepEqual(
        deltas.get('y')?.map(({ adapter }) => adapter),
        [0, 2],
      )
      assert.deepEqual(notes, [])
    }
  })

  it('adds the weights of an adapter that is given twice, under whatever name, and says so', () => {
    const { adapters, deltas, notes } = combineAdapters([weighted('one', 'aa', 0.75, 'x'), weighted('copy', 'aa', 0.5, 'x')])
    assert.deepEqual(
      adapters.map(({ weight }) => weight),
      [1.25],
    )
    assert.deepEqual(
      deltas.get('x')?.map(({ weight }) => weight),
      [1.25],
    )
    assert.match(notes.join(), /more than once/)
  })

  it('leaves out an adapter of weight 0, with a note that names it', () => {
    const { adapters, deltas, notes } = combineAdapters([weighted('/models/idle', 'aa', 0, 'x'), weighted('busy', 'bb', 1, 'x')])
    assert.deepEqual(
      adapters.map(({ adapter }) => adapter.label),
      ['busy'],
    )
    assert.deepEqual(
      deltas.get('x')?.map(({ adapter }) => adapter),
      [0],
    )
    assert.match(notes.join(), /^idle has weight 0/)
  })

  it('cancels +w and −w to nothing at all', () => {
    const { adapters, deltas } = combineAdapters([weighted('a', 'aa', 0.3, 'x'), weighted('a', 'aa', -0.3, 'x')])
    assert.deepEqual([adapters.length, deltas.size], [0, 0])
  })
})

describe('the effective scale', () => {
  it('is weight times alpha / rank in f64, rounded to f32 once', () => {
    const one = delta('x', 16 / 7)
    assert.equal(effectiveScale(one, 0.1), Math.fround(0.1 * (16 / 7)))
    assert.notEqual(effectiveScale(one, 0.1), Math.fround(Math.fround(0.1) * Math.fround(16 / 7)))
  })
})
