/**
 * State dicts that hold weights and LoRA factors together: a model that was saved before its factors were merged, or after.
 * loralib's eval() adds B·A to the weights and keeps the factors, so the file itself does not tell which.
 *
 * Law: loralib 0.1.2 layers.py `train`.
 */
import { UnsupportedError } from '../core/errors.js'
import type { TensorInfo } from '../core/tensor-info.js'

const FACTOR = /\.lora_(?:A|B|embedding_A|embedding_B)(?:\.[^.]+)?(?:\.weight)?$/

/** Whether some module with factors has its weight in the same file. @param modules  that have factors */
export function holdsItsWeights(modules: ReadonlyMap<string, unknown>, rest: readonly TensorInfo[]): boolean {
  const names = new Set(rest.map(({ name }) => name))
  return [...modules.keys()].some((module) => names.has(`${module}.weight`) || names.has(`${module}.conv.weight`))
}

/** Factors in a base would be carried along unmerged, or merged twice. @throws UnsupportedError when there are some */
export function refuseFactorsInBase(tensors: ReadonlyMap<string, TensorInfo>, label: string): void {
  for (const name of tensors.keys()) {
    if (!FACTOR.test(name)) continue
    throw new UnsupportedError(
      'is a LoRA factor among the weights of the base: whether it was added to them already cannot be seen. Merge it where it was trained, or give the original base and the factors alone.',
      { file: label, tensor: name },
    )
  }
}
