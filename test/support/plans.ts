/** Plans made by hand over tensors in memory, for tests of the engine alone: no model, no format, no planner. */
import type { EncodedType } from '../../src/core/arithmetic.js'
import { elementBytes, type Dtype } from '../../src/core/dtypes.js'
import { quantBytes } from '../../src/core/quant-types.js'
import { wholeMatrix } from '../../src/core/matrix-view.js'
import type { RowProgram } from '../../src/core/row-program.js'
import { elementCount } from '../../src/core/shape.js'
import type { TensorInfo } from '../../src/core/tensor-info.js'
import type { ToolFacts } from '../../src/engine/receipt.js'
import type { AppliedDelta, Plan, PlannedTensor, TensorProgram } from '../../src/plan/plan.js'
import { tileSize } from '../../src/plan/tiles.js'

export const TOOL: ToolFacts = { name: 'test', version: '1', reference: { ggml: '0c1e570' } }

const APPLIED: AppliedDelta = { adapter: 0, module: 'm', variant: 'lora', rank: 1, scale: 1 }

/** A tensor in memory. @param before bytes that lie in front of its data in the source */
export function memoryTensor(name: string, dtype: Dtype, shape: readonly number[], data: Uint8Array, before = 0): TensorInfo {
  const byteLength = elementCount(shape) * elementBytes(dtype)
  if (data.byteLength !== byteLength) throw new RangeError(`${name}: ${data.byteLength} bytes, wanted ${byteLength}`)
  const bytes = new Uint8Array(before + byteLength)
  bytes.set(data, before)
  return { name, dtype, shape, source: { kind: 'memory', name: `${name}.bin`, bytes, byteLength: bytes.byteLength }, offset: before, byteLength }
}

export function lowRank(B: TensorInfo, A: TensorInfo, scale: number): RowProgram {
  return { op: 'lowRank', B: wholeMatrix(B), A: wholeMatrix(A), scale }
}

/** One output tensor of a hand-made plan. */
export interface Output {
  readonly name: string
  readonly shape: readonly number[]
  readonly program: TensorProgram
  readonly isMerged?: boolean
  readonly tileElements?: number
}

export function rows(program: RowProgram, encode: EncodedType): TensorProgram {
  return { kind: 'rows', rows: program, encode }
}

/** A plan of one file `out.bin`: 8 bytes of header, then the tensors one after another. */
export function handPlan(root: string, outputs: readonly Output[], more: Partial<Plan> = {}): Plan {
  const header = new TextEncoder().encode('HEADER..')
  let end = header.byteLength
  const tensors = outputs.map(({ name, shape, program, isMerged = false, tileElements }): PlannedTensor => {
    const byteLength = program.kind === 'bytes' ? program.tensor.byteLength : quantBytes(program.encode, elementCount(shape))
    const offset = end
    end += byteLength
    const type = program.kind === 'bytes' ? program.tensor.dtype : program.encode
    return { name, type, shape, file: 0, offset, byteLength, program, tile: tileSize(program, tileElements), from: [name], applied: isMerged ? [APPLIED] : [] }
  })
  return {
    kind: 'gguf',
    root,
    target: 'out.bin',
    base: 'base',
    adapters: [],
    files: [{ name: 'out.bin', header, byteLength: end }],
    tensors,
    sideFiles: [],
    receipt: 'receipt.json',
    keyValues: [],
    clampOverflow: false,
    decisions: [],
    warnings: [],
    options: {},
    ...more,
  }
}
