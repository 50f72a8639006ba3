/** Every n-th row of a program gives the rows that it has there, whatever the program, and is pushed down to what it reads. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { everyNth } from '../src/core/every-nth.js'
import { rowsOf, transposed } from '../src/core/matrix-view.js'
import { rowRange } from '../src/core/row-maps.js'
import { programShape, type RowProgram } from '../src/core/row-program.js'
import { execute } from '../src/engine/execute.js'
import { handPlan, lowRank, memoryTensor, rows, TOOL } from './support/plans.js'
import { packed, Seeded } from './support/straight-math.js'
import { workspace } from './support/workspace.js'

const COLS = 5
const tensor = (name: string, shape: readonly number[], seed: number) =>
  memoryTensor(
    name,
    'F32',
    shape,
    packed(
      'F32',
      new Seeded(seed).weights(
        shape.reduce((a, b) => a * b, 1),
        1,
      ),
    ),
  )

const W = tensor('W', [24, COLS], 1)
const read: RowProgram = { op: 'read', tensor: W }
const other: RowProgram = { op: 'read', tensor: tensor('V', [12, COLS], 2) }
const delta = lowRank(tensor('B', [24, 2], 3), tensor('A', [2, COLS], 4), 0.5)
const byTurns = (step: number): RowProgram => ({ op: 'permuteRows', input: read, shape: [step, 2, 12 / step], order: [1, 2, 0] })

const CASES: readonly (readonly [what: string, program: RowProgram])[] = [
  ['a stored tensor', read],
  ['a view', { op: 'gather', view: transposed(rowsOf(tensor('T', [COLS, 24], 5))) }],
  ['a sum', { op: 'add', base: read, deltas: [delta] }],
  ['a stack', { op: 'stack', parts: [other, other] }],
  ['a stack of parts that are cut apart', { op: 'stack', parts: [rowRange(read, 0, 7), rowRange(read, 7, 17)] }],
  ['one number', { op: 'fill', rows: 24, cols: COLS, value: 0.25 }],
  ['rows by turns of two', byTurns(2)],
  ['rows by turns of three', byTurns(3)],
  ['a range of rows by turns', rowRange({ ...byTurns(2) }, 6, 12)],
  ['rows in another order', { op: 'permuteRows', input: read, shape: [2, 3, 4], order: [0, 2, 1] }],
  ['what is computed', { op: 'addConstant', input: byTurns(2), value: 1 }],
]

describe('every n-th row', () => {
  for (const [what, program] of CASES) {
    it(`of ${what}`, async (t) => {
      const root = workspace(t, 'every-nth')
      const whole = programShape(program).rows
      const outputs = [{ name: 'all', shape: [whole, COLS], program: rows(program, 'f32') }]
      for (const step of [2, 3])
        for (let first = 0; first < step; first++)
          outputs.push({ name: `${step} ${first}`, shape: [whole / step, COLS], program: rows(everyNth(program, step, first), 'f32') })
      const plan = handPlan(root, outputs)
      await execute(plan, TOOL, { threads: 1 })
      const file = readFileSync(join(root, 'out.bin'))
      const [all = assert.fail(), ...some] = plan.tensors.map(({ offset, byteLength }) => file.subarray(offset, offset + byteLength))
      const row = (bytes: Buffer, i: number): string => bytes.toString('hex', i * COLS * 4, (i + 1) * COLS * 4)
      for (const [at, bytes] of some.entries()) {
        const [step, first] = at < 2 ? [2, at] : [3, at - 2]
        for (let i = 0; i < whole / step; i++) assert.equal(row(bytes, i), row(all, first + i * step), `row ${i} of ${step}, ${first}`)
      }
    })
  }

  it('of rows by turns are the rows of one matrix, as they are stored', () => {
    assert.deepEqual(everyNth(byTurns(2), 2, 1), rowRange(read, 12, 12))
    assert.deepEqual(everyNth(rowRange(byTurns(2), 6, 12), 2, 1), rowRange(read, 15, 6))
  })
})
