/** Options of llama-quantize as the planners want them: files read, the rest as it is. */
import type { QuantizeRequest } from '../plan/quantize-stage.js'
import { readImatrix, selectWeights } from '../formats/imatrix/imatrix.js'
import { openFile } from '../sources/files.js'
import type { GgufOptions, QuantizationOptions } from './options.js'

/** Reads the importance matrix, if one is named. @throws ToolkitError */
export async function openQuantization(given: QuantizationOptions | undefined): Promise<Omit<QuantizeRequest, 'fileType'>> {
  const { imatrix, includeWeights, excludeWeights, overrides = [], ...options } = given ?? {}
  if (imatrix === undefined) return { options, overrides }
  const all = await readImatrix(await openFile(imatrix))
  const matrix = selectWeights(all, { include: includeWeights ?? [], exclude: excludeWeights ?? [] })
  return { options, overrides, imatrix: { file: imatrix, matrix } }
}

/** What the receipt says of them; no paths. */
export function recordedQuantization({ quantize, split, keepSplit }: GgufOptions): Record<string, string | number | boolean | undefined> {
  return {
    pure: quantize?.pure,
    leaveOutputTensor: quantize?.leaveOutputTensor,
    outputTensorType: quantize?.outputTensorType,
    tokenEmbeddingType: quantize?.tokenEmbeddingType,
    tensorTypes: quantize?.tensorTypes?.map(({ pattern, type }) => `${pattern}=${type}`).join(' '),
    imatrix: quantize?.imatrix === undefined ? undefined : (quantize.imatrix.split(/[\\/]/).at(-1) ?? ''),
    includeWeights: quantize?.includeWeights?.join(' '),
    excludeWeights: quantize?.excludeWeights?.join(' '),
    pruneLayers: quantize?.pruneLayers?.join(','),
    splitMaxTensors: split?.maxTensors,
    splitMaxBytes: split?.maxBytes,
    noTensorFirstSplit: split?.noTensorFirst,
    keepSplit,
    allowRequantize: quantize?.allowRequantize,
    overrides: quantize?.overrides?.map(({ key }) => key).join(' ') || undefined,
  }
}
