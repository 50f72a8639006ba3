/** Options of the library from those that were typed for a GGUF. */
import { readFileSync } from 'node:fs'
import { fileSystemError } from '../core/file-errors.js'
import type { GgufOptions, QuantizationOptions } from '../host/options.js'
import { parseKeyValueOverride } from '../quantize/policy-key-values.js'
import { parseLayers } from '../quantize/policy-layers.js'
import { parseTensorType, parseTypeOverride, parseTypeOverrides, type TypeOverride } from '../quantize/type-overrides.js'
import { adapterOptions } from './adapter-options.js'
import type { GgufFlags } from './options.js'
import { parseCount, parseOuttype, parseSize } from './values.js'

const MOST_TENSORS = 10_000_000

export function ggufOptions(model: string, flags: GgufFlags): GgufOptions {
  return {
    model,
    outtype: flags.outtype === undefined ? undefined : parseOuttype('--outtype', flags.outtype),
    quantize: quantization(flags),
    split: {
      maxBytes: flags.splitMaxSize === undefined ? undefined : parseSize('--split-max-size', flags.splitMaxSize),
      maxTensors: flags.splitMaxTensors === undefined ? undefined : parseCount('--split-max-tensors', flags.splitMaxTensors, MOST_TENSORS),
      noTensorFirst: !flags.tensorFirstSplit,
    },
    keepSplit: flags.keepSplit,
    modelName: flags.modelName,
    metadata: flags.metadata,
    vocabOnly: flags.vocabOnly,
    noVocab: !flags.vocab,
    noNextn: !flags.nextn,
    pre: flags.pre,
    modelfile: flags.modelfile,
    tokenizer: flags.tokenizer,
    receipt: flags.receipt,
    clampOverflow: flags.clampOverflow,
    ...adapterOptions(flags),
    dequantizeBase: flags.dequantizeBase,
  }
}

function quantization(flags: GgufFlags): QuantizationOptions {
  const { outputTensorType, tokenEmbeddingType } = flags
  return {
    imatrix: flags.imatrix,
    ...(flags.includeWeights === undefined ? {} : { includeWeights: flags.includeWeights }),
    ...(flags.excludeWeights === undefined ? {} : { excludeWeights: flags.excludeWeights }),
    pure: flags.pure ?? false,
    leaveOutputTensor: flags.leaveOutputTensor ?? false,
    allowRequantize: flags.allowRequantize ?? false,
    ...(outputTensorType === undefined ? {} : { outputTensorType: parseTensorType('--output-tensor-type', outputTensorType) }),
    ...(tokenEmbeddingType === undefined ? {} : { tokenEmbeddingType: parseTensorType('--token-embedding-type', tokenEmbeddingType) }),
    tensorTypes: tensorTypes(flags),
    overrides: (flags.overrideKv ?? []).map((typed) => parseKeyValueOverride('--override-kv', typed)),
    ...(flags.pruneLayers === undefined ? {} : { pruneLayers: parseLayers('--prune-layers', flags.pruneLayers) }),
  }
}

/** Rules of the command line, then those of the file. */
function tensorTypes({ tensorType = [], tensorTypeFile }: GgufFlags): TypeOverride[] {
  const typed = tensorType.map((one) => parseTypeOverride('--tensor-type', one))
  if (tensorTypeFile === undefined) return typed
  try {
    return [...typed, ...parseTypeOverrides(readFileSync(tensorTypeFile, 'utf8'), tensorTypeFile)]
  } catch (error) {
    throw fileSystemError(error, tensorTypeFile, 'read')
  }
}
