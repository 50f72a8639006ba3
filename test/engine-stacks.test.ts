/** Stacks of many parts, each with factors of its own: what is kept for parts that have been passed makes room, and no byte depends on it. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { RowProgram } from '../src/core/row-program.js'
import { openWorkshop } from '../src/engine/arithmetic.js'
import { Evaluator } from '../src/engine/evaluate.js'
import { execute } from '../src/engine/execute.js'
import { KEPT_OF_STACK_BYTES } from '../src/engine/factor-rows.js'
import { bufferBytes } from '../src/engine/memory.js'
import { createTileReader } from '../src/engine/tile-reader.js'
import { handPlan, lowRank, memoryTensor, rows, TOOL } from './support/plans.js'
import { packed, Seeded } from './support/straight-math.js'
import { workspace } from './support/workspace.js'

const PARTS = 24
const ROWS = 6
const RANK = 64
const COLS = 4096

const seeded = (name: string, shape: readonly number[], seed: number) =>
  memoryTensor(name, 'F32', shape, packed('F32', new Seeded(seed).weights((shape[0] ?? 1) * (shape[1] ?? 1), 0.1)))

const parts = Array.from({ length: PARTS }, (_, i): RowProgram => {
  const base = seeded(`W${i}`, [ROWS, COLS], 3 * i)
  return {
    op: 'add',
    base: { op: 'read', tensor: base },
    deltas: [lowRank(seeded(`B${i}`, [ROWS, RANK], 3 * i + 1), seeded(`A${i}`, [RANK, COLS], 3 * i + 2), 0.5)],
  }
})
const stack: RowProgram = { op: 'stack', parts }

describe('a stack of parts with factors', () => {
  it('gives the bytes of its parts, whatever the tiles', async (t) => {
    const apart = workspace(t, 'apart')
    const outputs = parts.map((program, i) => ({ name: `W${i}`, shape: [ROWS, COLS], program: rows(program, 'f32'), isMerged: true }))
    await execute(handPlan(apart, outputs), TOOL, { threads: 1 })
    const wanted = readFileSync(join(apart, 'out.bin'))
    for (const [tileRows, threads] of [
      [1, 1],
      [4, 2],
      [ROWS * 5, 1],
    ] as const) {
      const root = workspace(t, `tiles-${tileRows}`)
      const output = { name: 'W', shape: [PARTS * ROWS, COLS], program: rows(stack, 'f32'), isMerged: true, tileElements: tileRows * COLS }
      await execute(handPlan(root, [output]), TOOL, { threads })
      assert.equal(Buffer.compare(readFileSync(join(root, 'out.bin')), wanted), 0, `${tileRows} rows at once`)
    }
  })

  it('keeps the factors of few of them', () => {
    const planned = handPlan('x', [{ name: 'W', shape: [PARTS * ROWS, COLS], program: rows(stack, 'f32'), tileElements: COLS }]).tensors
    const predicted = bufferBytes(planned)
    assert.ok(predicted < 2 * KEPT_OF_STACK_BYTES, `${predicted} predicted`)
    const workshop = openWorkshop(predicted)
    const reader = createTileReader()
    const evaluator = new Evaluator(reader, workshop)
    const into = new Float32Array(COLS)
    for (let row = 0; row < PARTS * ROWS; row++) {
      evaluator.beginTile('f32')
      evaluator.rows(stack, row, into)
      // what found no room in the arena would lie in ordinary memory, beside what was predicted
      assert.ok(workshop.arena.hasRoom(COLS * 4), `no room left at row ${row}`)
    }
    reader.close()
  })
})
