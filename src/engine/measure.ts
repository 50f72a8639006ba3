/** What a type does to values: rows of a tensor are computed, encoded, read again and compared. Reads what it samples, writes nothing. */
import type { EncodedType, ReadableType } from '../core/arithmetic.js'
import { isBlockType, quantBytes } from '../core/quant-types.js'
import { programShape, type RowProgram } from '../core/row-program.js'
import { openWorkshop } from './arithmetic.js'
import { Evaluator } from './evaluate.js'
import { bufferBytes } from './memory.js'
import { createTileReader } from './tile-reader.js'

/** A tensor that rows are taken of. */
export interface SampledTensor {
  readonly program: RowProgram
  /** Rows to take. */
  readonly rows: readonly number[]
  /** Types to try, with the importance that the encoder would get. */
  readonly tries: readonly { readonly type: EncodedType; readonly importance: Float32Array | undefined }[]
}

export interface MeasuredTensor {
  /** Mean of the squares of the values. */
  readonly meanSquare: number
  /** Mean of the squares of the errors, in the order of `tries`. */
  readonly errors: readonly number[]
}

/** Measures tensors one after the other; rows with NaN or infinity are passed over. */
export function measureTypes(tensors: readonly SampledTensor[]): MeasuredTensor[] {
  const workshop = openWorkshop(bufferBytes(tensors.map(({ program }) => ({ program: { kind: 'rows', rows: program, encode: 'f32' }, tile: 1 }))))
  const reader = createTileReader()
  const evaluator = new Evaluator(reader, workshop)
  try {
    return tensors.map(({ program, rows, tries }) => {
      evaluator.forgetFactors()
      const { rows: allRows, cols } = programShape(program)
      const values = new Float32Array(cols)
      const back = new Float32Array(cols)
      const sums = tries.map(() => 0)
      let [squares, counted] = [0, 0]
      for (const row of rows) {
        evaluator.rows(program, row, values)
        if (!values.every(Number.isFinite)) continue
        counted += cols
        squares += sumOfSquares(values)
        tries.forEach(({ type, importance }, i) => {
          const bytes = new Uint8Array(quantBytes(type, cols))
          const matrix = importance === undefined ? 0 : Math.floor(row / ((allRows * cols) / importance.length))
          // the encoder may change what it is given
          workshop.arithmetic.encode(type, values.slice(), bytes, cols, importance?.subarray(matrix * cols, (matrix + 1) * cols))
          workshop.arithmetic.widen(storedType(type), bytes, back)
          sums[i] = (sums[i] ?? 0) + sumOfSquares(back.map((value, at) => value - (values[at] ?? 0)))
        })
      }
      return { meanSquare: squares / Math.max(1, counted), errors: sums.map((sum) => sum / Math.max(1, counted)) }
    })
  } finally {
    reader.close()
  }
}

function storedType(type: EncodedType): ReadableType {
  if (isBlockType(type)) return type
  return type === 'f32' ? 'F32' : type === 'f16' ? 'F16' : 'BF16'
}

function sumOfSquares(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value * value, 0)
}
