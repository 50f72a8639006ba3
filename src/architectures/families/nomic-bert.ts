/**
 * Nomic Embed: BERT with rotary positions and a gated feed-forward part, or with experts in every other layer.
 *
 * Law: conversion/bert.py `NomicBertModel` (llama.cpp 0c1e570), which checks what it computes otherwise; so does ours.
 */
import { UnsupportedError } from '../../core/errors.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture, withRow, type TensorRow } from '../define.js'
import { optionalUint } from '../dimensions.js'
import { ENCODER_HPARAMS } from '../encoder-hparams.js'
import type { HparamRow } from '../hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

const expertStep = (config: Config): number | undefined =>
  config.values.get('moe_every_n_layers') === 0 ? undefined : optionalUint(config, 'moe_every_n_layers')
const isMoe = (config: Config): boolean => expertStep(config) !== undefined
const hasExperts = (config: Config, block: number): boolean => block % (expertStep(config) ?? Infinity) === 1

/** What llama.cpp computes: norms behind each part, plain rotary embedding of whole heads, biases with experts only. */
function expected(config: Config): readonly (readonly [key: string, value: string | number | boolean | null])[] {
  const moe = isMoe(config)
  return [
    ['activation_function', moe ? 'gelu' : 'swiglu'],
    ['causal', false],
    ['qkv_proj_bias', moe],
    ['mlp_fc1_bias', moe],
    ['mlp_fc2_bias', moe],
    ['prenorm', false],
    ['rotary_emb_fraction', 1],
    ['rotary_emb_interleaved', false],
    ['rotary_emb_scale_base', null],
  ]
}

/** Tokens that it was trained for; config.json says what its positions can reach. */
function contextLength(config: Config): number {
  for (const [key, value] of expected(config)) {
    if ((config.values.get(key) ?? null) !== value)
      throw new UnsupportedError(`${key} is not ${String(value)}; llama.cpp computes no other.`, { file: config.file })
  }
  const positions = readUint(config, 'n_positions')
  const trained = optionalUint(config, 'max_trained_positions') ?? 2048
  if (trained === 2048 && positions === 8192) return 2048 // 1 and 1.5
  if (trained === 2048 && positions === 2048) return 512 // 2
  throw new UnsupportedError(`n_positions ${positions} with max_trained_positions ${trained}: how long its texts may be is not known.`, { file: config.file })
}

const HPARAMS: readonly HparamRow[] = [...withRow(TEXT_HPARAMS, ['context_length', 'u32', contextLength]), ...ENCODER_HPARAMS]

const BODY: readonly TensorRow[] = [
  ['embeddings.word_embeddings', 'tokenEmbd'],
  ['embeddings.token_type_embeddings', 'tokenTypes'],
  ['emb_ln', 'tokenEmbdNorm', 'bias'],
  ['encoder.layers.{block}.attn.Wqkv', 'attnQkv', 'bias?'],
  ['encoder.layers.{block}.attn.out_proj', 'attnOutput', 'bias?'],
  ['encoder.layers.{block}.norm1', 'attnOutputNorm', 'bias'],
  ['encoder.layers.{block}.norm2', 'layerOutputNorm', 'bias'],
]

export const nomicBertMoe = defineArchitecture({
  gguf: 'nomic-bert-moe',
  huggingFace: ['NomicBertModel'],
  when: isMoe,
  modelType: 'nomic_bert',
  hparams: [...HPARAMS, ['moe_every_n_layers', 'u32', 'moe_every_n_layers', 'required'], ['expert_used_count', 'u32', 'moe_top_k', 'required']],
  layers: { moe: hasExperts, dense: (config, block) => !hasExperts(config, block) },
  tensors: [
    ...BODY,
    ['encoder.layers.{block}.mlp.fc1', 'ffnUp', 'bias', 'layers:dense'],
    ['encoder.layers.{block}.mlp.fc2', 'ffnDown', 'bias', 'layers:dense'],
    ['encoder.layers.{block}.mlp.router.layer', 'ffnGateInp', 'layers:moe'],
    ['encoder.layers.{block}.mlp.experts.mlp.w1', 'ffnUpExps', 'byExperts', 'exact', 'layers:moe'],
    ['encoder.layers.{block}.mlp.experts.mlp.w2', 'ffnDownExps', 'byExperts', 'transpose', 'exact', 'layers:moe'],
  ],
  leftOut: ['encoder.layers.{block}.mlp.experts.bias'],
  tokenizer: 'nomicBert',
})

export const nomicBert = defineArchitecture({
  gguf: 'nomic-bert',
  huggingFace: ['NomicBertModel'],
  modelType: 'nomic_bert',
  hparams: HPARAMS,
  tensors: [
    ...BODY,
    ['encoder.layers.{block}.mlp.fc11', 'ffnUp'],
    ['encoder.layers.{block}.mlp.fc12', 'ffnGate'],
    ['encoder.layers.{block}.mlp.fc2', 'ffnDown'],
  ],
  tokenizer: 'nomicBert',
})
