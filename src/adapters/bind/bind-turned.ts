/**
 * MLX-LM's factors, which stand the other way round: A (in x rank), B (rank x out) -> deltas.
 *
 * Law: mlx-lm tuner/lora.py, dora.py `fuse`: a linear layer's weight (out x in) gets the transpose of A·B, an embedding's
 * (vocabulary x dim) A·B itself; DoRA makes each row of a weight as long as `m` says.
 */
import type { Delta, LowRank } from '../../core/delta.js'
import { MismatchError, quoted } from '../../core/errors.js'
import { transposed } from '../../core/matrix-view.js'
import { elementCount, sameShape, shapeText } from '../../core/shape.js'
import { placeOfTensor, type TensorInfo } from '../../core/tensor-info.js'
import type { AdapterModule } from '../adapter-file.js'
import { change, oriented, type Binder, type Bound, type Lies } from './bound.js'
import { factor, placeOf } from './factors.js'
import { isEmbedding } from '../tied.js'

export const turnedBinder: Binder = { lies: turnedLies, bind: bindTurned }

/** As a linear layer has them. */
function pairOf(module: AdapterModule): LowRank {
  return { B: transposed(factor(module, 'B')), A: transposed(factor(module, 'A')) }
}

/** The update of an embedding is what that of a linear layer stored (in x out) would be. */
function turnedLies(module: AdapterModule, weight: TensorInfo): Lies {
  const { B, A } = pairOf(module)
  const [plain, turned] = [sameShape(weight.shape, [B.rows, A.cols]), sameShape(weight.shape, [A.cols, B.rows])]
  if (turned && isEmbedding(weight.name)) return 'transposed'
  if (plain || turned) return plain && turned ? 'square' : plain ? 'plain' : 'transposed'
  throw new MismatchError(
    `lora_a and lora_b give ${shapeText([B.rows, A.cols])}, but the base's ${quoted(weight.name)} is ${shapeText(weight.shape)}. Is it the base that the adapter was trained on?`,
    placeOf(module),
  )
}

function bindTurned(bound: Bound): Delta[] {
  const { module, weight, isTransposed } = bound
  const pair = oriented(pairOf(module), bound)
  const magnitude = module.factors.get('magnitude')
  if (magnitude === undefined) return [{ variant: 'lora', ...change(bound), ...pair }]
  const along = isTransposed && !isEmbedding(weight.name) ? 'columns' : 'rows'
  const features = along === 'rows' ? pair.B.rows : pair.A.cols
  if (elementCount(magnitude.shape) !== features)
    throw new MismatchError(`has shape ${shapeText(magnitude.shape)}; one length for each of ${features} features is wanted.`, placeOfTensor(magnitude))
  return [{ variant: 'dora', ...change(bound), ...pair, magnitude, along, features }]
}
