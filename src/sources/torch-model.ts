/** A PyTorch checkpoint as a file of a model's weights. */
import type { ByteSource } from '../core/bytes.js'
import type { Dtype } from '../core/dtypes.js'
import { FormatError } from '../core/errors.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { modelTensors, readCheckpoint } from '../formats/torch/checkpoint.js'

/** How files of PyTorch weights are named. */
export const TORCH_EXTENSION = /\.(?:bin|pt|pth|ckpt)$/i

/**
 * The model's own tensors, in the order of the pickle, which the reference converter keeps.
 * @throws FormatError when it holds none
 */
export async function readTorchWeights(source: ByteSource): Promise<readonly TensorInfo<Dtype>[]> {
  const tensors = modelTensors(await readCheckpoint(source))
  if (tensors.length === 0 || tensors[0]?.name === '') throw new FormatError('holds no tensors by name: no model.', { file: source.name })
  return tensors
}
