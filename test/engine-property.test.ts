/** The engine against a straight loop over whole tensors (support/straight-math.ts): whatever shape, type, tile or thread count, the same bytes. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import ndarray from 'ndarray'
import type { ENCODERS } from '../src/quantize/reference.js'
import type { PlainFloat } from '../src/core/dtypes.js'
import type { RowProgram } from '../src/core/row-program.js'
import { execute, type ExecuteResult } from '../src/engine/execute.js'
import type { Plan } from '../src/plan/plan.js'
import { handPlan, lowRank, memoryTensor, rows, TOOL, type Output } from './support/plans.js'
import { encoded, merged, packed, Seeded, unpacked, type StraightDelta } from './support/straight-math.js'
import { workspace } from './support/workspace.js'

interface Permutation {
  readonly shape: readonly [number, number, number]
  readonly order: readonly [number, number, number]
}

/** One drawn tensor: what the plan is made of, and what a straight loop needs. */
interface Drawn {
  readonly seed: number
  readonly shape: readonly number[]
  readonly rows: number
  readonly cols: number
  readonly dtype: PlainFloat
  readonly deltas: readonly { readonly rank: number; readonly dtype: PlainFloat; readonly scale: number }[]
  readonly permutation: Permutation | undefined
  readonly encode: keyof typeof ENCODERS
  readonly before: number
}

const dtypes = fc.constantFrom<PlainFloat>('F32', 'F16', 'BF16')
const ORDERS: readonly (readonly [number, number, number])[] = [
  [0, 2, 1],
  [1, 0, 2],
  [2, 1, 0],
  [1, 2, 0],
  [2, 0, 1],
  [0, 1, 2],
]

const delta = fc.record({
  rank: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 70 })),
  dtype: dtypes,
  scale: fc.constantFrom(2, 1, 0.5, -1, 1 / 3, 16 / 7, -0.013).map(Math.fround),
})

const permutation = fc.record({
  shape: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.constantFrom(1, 2, 3), fc.integer({ min: 1, max: 6 })),
  order: fc.constantFrom(...ORDERS),
})

const drawn: fc.Arbitrary<Drawn> = fc
  .record({
    seed: fc.integer(),
    permutation: fc.option(permutation, { nil: undefined }),
    rows: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 37 })),
    cols: fc.oneof(fc.constant(1), fc.constantFrom(32, 64, 96), fc.integer({ min: 1, max: 67 })),
    form: fc.constantFrom('two', 'two', 'one', 'three'),
    dtype: dtypes,
    deltas: fc.array(delta, { minLength: 0, maxLength: 4 }),
    encode: fc.constantFrom<keyof typeof ENCODERS>('f32', 'f16', 'bf16', 'q8_0'),
    before: fc.constantFrom(0, 1, 8, 13),
  })
  .map(({ form, ...one }) => {
    const rowCount = one.permutation === undefined ? one.rows : one.permutation.shape.reduce((product, size) => product * size, 1)
    const cols = form === 'one' ? 1 : one.cols
    const outer = one.permutation === undefined ? [1, rowCount] : [one.permutation.shape[0], rowCount / one.permutation.shape[0]]
    const shape = form === 'one' ? [rowCount] : form === 'two' ? [rowCount, cols] : [...outer, cols]
    // rows that are no whole blocks fall back to f16, as tensorType has it
    return { ...one, rows: rowCount, cols, shape, encode: one.encode === 'q8_0' && cols % 32 !== 0 ? 'f16' : one.encode }
  })

/** The program of the engine and the bytes of a straight loop. */
function build(one: Drawn, name: string, tileElements: number): { output: Output; expected: Uint8Array; ratio: number } {
  const random = new Seeded(one.seed)
  const base = packed(one.dtype, random.weights(one.rows * one.cols))
  const W = memoryTensor(name, one.dtype, one.shape, base, one.before)
  const straight: StraightDelta[] = []
  const programs = one.deltas.map(({ rank, dtype, scale }, n): RowProgram => {
    const [B, A] = [packed(dtype, random.weights(one.rows * rank, 0.1)), packed(dtype, random.weights(rank * one.cols, 0.1))]
    straight.push({ B: unpacked(dtype, B), A: unpacked(dtype, A), rank, scale })
    return lowRank(memoryTensor(`${name}.${n}.B`, dtype, [one.rows, rank], B, one.before), memoryTensor(`${name}.${n}.A`, dtype, [rank, one.cols], A), scale)
  })
  const { values, ratio } = merged(unpacked(one.dtype, base), one.rows, one.cols, straight)
  const read: RowProgram = { op: 'read', tensor: W }
  let program: RowProgram = programs.length === 0 ? read : { op: 'add', base: read, deltas: programs }
  let ordered = values
  if (one.permutation !== undefined) {
    const { shape, order } = one.permutation
    program = { op: 'permuteRows', input: program, shape, order }
    ordered = permuted(values, one.cols, one.permutation)
  }
  return {
    output: { name, shape: one.shape, program: rows(program, one.encode), isMerged: programs.length > 0, tileElements },
    expected: encoded(one.encode, ordered),
    ratio,
  }
}

/** Rows in another order, by ndarray's strided views. */
function permuted(values: Float32Array, cols: number, { shape, order }: Permutation): Float32Array {
  const view = ndarray(values, [...shape, cols]).transpose(...order, 3)
  const [a = 0, b = 0, c = 0] = view.shape
  const into = new Float32Array(values.length)
  let at = 0
  for (let i = 0; i < a; i++) for (let j = 0; j < b; j++) for (let k = 0; k < c; k++) for (let col = 0; col < cols; col++) into[at++] = view.get(i, j, k, col)
  return into
}

/** Runs a plan of the drawn tensors and compares every byte. @returns what the run said */
async function check(root: string, all: readonly Drawn[], tileElements: number, threads: number): Promise<{ result: ExecuteResult; receipt: string }> {
  const built = all.map((one, i) => build(one, `t${i}`, tileElements))
  const plan = handPlan(
    root,
    built.map(({ output }) => output),
  )
  const result = await execute(plan, TOOL, { threads, force: true })
  const file = readFileSync(join(root, 'out.bin'))
  built.forEach(({ expected, ratio }, i) => {
    const planned = plan.tensors[i]
    const drawnTensor = all[i]
    assert.ok(planned && drawnTensor)
    const bytes = file.subarray(planned.offset, planned.offset + planned.byteLength)
    assert.equal(Buffer.compare(bytes, expected), 0, `tensor ${i}, first difference at byte ${bytes.findIndex((byte, at) => byte !== expected[at])}`)
    assert.equal(result.tensors[i]?.digest, `crc32:${crc32(bytes).toString(16).padStart(8, '0')}`)
    assert.equal(result.tensors[i]?.nonFinite, 0)
    const { deltaRatio } = result.tensors[i] ?? {}
    if (drawnTensor.deltas.length === 0) assert.equal(deltaRatio, undefined)
    else if (Number.isFinite(ratio)) assert.ok(Math.abs((deltaRatio ?? Number.NaN) - ratio) <= 1e-5 * ratio, `ratio ${deltaRatio}, wanted ${ratio}`)
  })
  return { result, receipt: readFileSync(join(root, 'receipt.json'), 'utf8') }
}

const tileSizes = fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 300 }), fc.integer({ min: 300, max: 5000 }), fc.constant(262_144))

describe('the engine', () => {
  it('gives the bytes of a straight loop, whatever shape, types, ranks, adapters and tile size', async (t) => {
    const root = workspace(t, 'law')
    await fc.assert(
      fc.asyncProperty(drawn, tileSizes, async (one, tileElements) => {
        await check(root, [one], tileElements, 1)
      }),
      { numRuns: 300 },
    )
  })

  it('gives the same bytes, digests, norms and receipt whatever the number of threads', async (t) => {
    const root = workspace(t, 'threads')
    await fc.assert(
      fc.asyncProperty(fc.array(drawn, { minLength: 1, maxLength: 3 }), fc.integer({ min: 1, max: 200 }), async (all, tileElements) => {
        const single = await check(root, all, tileElements, 1)
        for (const threads of [2, 3]) {
          const { result, receipt } = await check(root, all, tileElements, threads)
          assert.deepEqual(result.tensors, single.result.tensors)
          assert.equal(receipt, single.receipt)
        }
      }),
      { numRuns: 15 },
    )
  })

  it('works on the main thread and on workers alike for a rope permutation whose head is larger than a tile', async (t) => {
    const one: Drawn = {
      seed: 5,
      shape: [48, 33],
      rows: 48,
      cols: 33,
      dtype: 'BF16',
      deltas: [{ rank: 3, dtype: 'F32', scale: 2 }],
      permutation: { shape: [1, 2, 24], order: [0, 2, 1] },
      encode: 'f32',
      before: 0,
    }
    const root = workspace(t, 'rope')
    for (const tileElements of [1, 33 * 5, 33 * 12, 33 * 48, 1_000_000]) for (const threads of [1, 2]) await check(root, [one], tileElements, threads)
  })

  it('copies the bytes of tensors of any type, in tiles', async (t) => {
    const root = workspace(t, 'bytes')
    const random = new Seeded(3)
    const tensors = (['I64', 'F64', 'BOOL', 'F16', 'F8_E4M3'] as const).map((dtype, i) => {
      const count = 1001 + i
      const size = { I64: 8, F64: 8, BOOL: 1, F16: 2, F8_E4M3: 1 }[dtype]
      return memoryTensor(
        dtype,
        dtype,
        [count],
        Uint8Array.from({ length: count * size }, () => random.bits()),
        3,
      )
    })
    for (const [tileElements, threads] of [
      [1, 1],
      [25, 2],
      [262_144, 1],
    ] as const) {
      const plan = handPlan(
        root,
        tensors.map((tensor) => ({ name: tensor.name, shape: tensor.shape, program: { kind: 'bytes', tensor }, tileElements })),
      )
      await execute(plan, TOOL, { threads, force: true })
      const file = readFileSync(join(root, 'out.bin'))
      for (const [i, { offset, byteLength }] of plan.tensors.entries()) {
        const source = tensors[i]?.source
        assert.ok(source?.kind === 'memory')
        assert.deepEqual(new Uint8Array(file.subarray(offset, offset + byteLength)), source.bytes.subarray(3))
      }
    }
  })

  it('writes tensors without elements, and plans without tensors', async (t) => {
    const root = workspace(t, 'empty')
    const nothing = memoryTensor('nothing', 'F32', [0, 7], new Uint8Array(0))
    const noColumns = memoryTensor('no-columns', 'F16', [7, 0], new Uint8Array(0))
    const read = (tensor: typeof nothing): Output => ({ name: tensor.name, shape: tensor.shape, program: rows({ op: 'read', tensor }, 'f16') })
    const { bytes, tensors } = await execute(
      handPlan(root, [read(nothing), read(noColumns), { name: 'copy', shape: [0], program: { kind: 'bytes', tensor: nothing } }]),
      TOOL,
      { threads: 2 },
    )
    assert.equal(bytes, 8)
    assert.deepEqual(
      tensors.map(({ nonFinite }) => nonFinite),
      [0, 0, 0],
    )
    await execute(handPlan(root, []), TOOL, { force: true })
    assert.equal(readFileSync(join(root, 'out.bin'), 'latin1'), 'HEADER..')
  })

  it('gives computed values and gaps as zeros', async (t) => {
    const root = workspace(t, 'values')
    const plan = handPlan(root, [
      { name: 'v', shape: [2, 3], program: rows({ op: 'values', rows: 2, cols: 3, values: [1, 2, 3, 0.1, 5, 6] }, 'f32'), tileElements: 1 },
    ])
    const withGap: Plan = {
      ...plan,
      tensors: plan.tensors.map((tensor) => ({ ...tensor, offset: 32 })),
      files: plan.files.map((file) => ({ ...file, byteLength: 64 })),
    }
    await execute(withGap, TOOL)
    const file = new Uint8Array(readFileSync(join(root, 'out.bin')))
    assert.deepEqual([...new Float32Array(file.slice(32, 56).buffer)], [1, 2, 3, Math.fround(0.1), 5, 6])
    assert.ok([...file.slice(8, 32), ...file.slice(56)].every((byte) => byte === 0))
  })
})
