/**
 * What encoders and embedding models add to the metadata: how one vector is made of those of all tokens, and the labels of
 * a classifier.
 *
 * Law: conversion/base.py `_try_set_pooling_type`, bert.py `BertModel` (llama.cpp 0c1e570). `id2label` is there as
 * transformers fills it in: two labels LABEL_0 and LABEL_1 are no labels.
 */
import { UnsupportedError, quoted } from '../core/errors.js'
import { isObject } from '../core/json.js'
import { readSection, readString, type Config } from './config.js'
import { optionalUint } from './dimensions.js'
import type { HparamRow } from './hparams.js'

const POOLING_IDS: ReadonlyMap<string, number> = new Map([
  ['mean', 1],
  ['cls', 2],
  ['lasttoken', 3],
]) // gguf-py `PoolingType`

/** For every model that sentence-transformers may wrap. */
export const POOLING: HparamRow = ['pooling_type', 'u32', poolingType]

/** For encoders, in the reference's order. */
export const ENCODER_HPARAMS: readonly HparamRow[] = [
  ['attention.causal', 'bool', { always: false }],
  POOLING,
  ['classifier.pooling_type', 'u32', classifierPooling],
  ['classifier.output_labels', 'string[]', outputLabels],
]

function poolingType({ pooling }: Config): number | undefined {
  if (pooling === undefined) return undefined
  const id = POOLING_IDS.get(pooling)
  if (id !== undefined) return id
  throw new UnsupportedError(`pooling ${quoted(pooling)} is not supported; supported: ${[...POOLING_IDS.keys()].join(', ')}.`, { file: 'modules.json' })
}

/** Of the vector that a classifier gets; `late` is what transformers fills in for EuroBERT, whose classifiers llama.cpp does not have. */
function classifierPooling(config: Config): number | undefined {
  if ((config.values.get('classifier_pooling') ?? null) === null) return undefined
  const name = readString(config, 'classifier_pooling')
  const id = name === 'lasttoken' ? undefined : POOLING_IDS.get(name)
  if (id !== undefined || name === 'late') return id
  throw new UnsupportedError(`classifier_pooling ${quoted(name)} is not supported; supported: mean, cls.`, { file: config.file })
}

/** Labels in the order of their numbers; undefined where the classifier has none of its own. */
export function outputLabels(config: Config): readonly string[] | undefined {
  if (!isObject(config.values.get('id2label'))) return numberedLabels(optionalUint(config, 'num_labels'))
  const section = readSection(config, 'id2label')
  const keys = [...section.values.keys()].sort((a, b) => Number(a) - Number(b))
  const labels = keys.map((key) => readString(section, key))
  return labels.length === 2 && labels[0] === 'LABEL_0' ? undefined : labels
}

function numberedLabels(count: number | undefined): readonly string[] | undefined {
  return count === undefined || count === 2 || count > MOST_LABELS ? undefined : Array.from({ length: count }, (_, i) => `LABEL_${i}`)
}

const MOST_LABELS = 4096

/** Whether the class has a classifier behind the encoder. */
export function classifies({ values }: Config): boolean {
  const [name] = [values.get('architectures')].flat()
  return typeof name === 'string' && name.endsWith('ForSequenceClassification')
}
