/**
 * BitNet: weights of -1, 0 and 1, four to a byte, each from another quarter of the rows, and one scale.
 *
 *   weight (out / 4, in): bits 2q and 2q + 1 of row i are the code of row q · out / 4 + i     weight_scale (1)
 *
 * Law: transformers 5.23 bitnet.py: BitLinear divides by the scale, AutoBitLinear (linear_class autobitlinear) multiplies.
 * conversion/base.py `dequant_bitnet` (llama.cpp 0c1e570) always divides, which is wrong for the latter (docs/numerics.md).
 */
import type { RowProgram } from '../core/row-program.js'
import { matrixShape, requireDtype, type Checkpoint, type LogicalTensor } from './checkpoint.js'
import { quarter } from './packing.js'
import { overAll } from './scaled.js'

/** quant_method bitnet. */
export function readBitnet(checkpoint: Checkpoint): LogicalTensor[] {
  const by = checkpoint.settings.get('linear_class') === 'autobitlinear' ? 'times' : 'over'
  return checkpoint.endingIn('.weight_scale').map(({ stem: module, tensor: scale }) => {
    const weight = checkpoint.take(`${module}.weight`, scale)
    requireDtype(weight, 'U8')
    const [packed, cols] = matrixShape(weight)
    const parts = [0, 1, 2, 3].map((index) => quarter(weight, { rows: packed, cols }, index))
    const input: RowProgram = { op: 'stack', parts }
    const shape = { rows: packed * 4, cols }
    return { name: weight.name, shape: [shape.rows, cols], program: overAll(by, input, shape, scale), parts: [weight, scale] }
  })
}
