/**
 * T5, mT5, UMT5 and their encoders alone.
 *
 * Law: conversion/t5.py (llama.cpp 0c1e570). Wider here: decoders deeper than their encoder, whose layers the reference has
 * no names for (docs/numerics.md).
 */
import { readCount, readString, readUint, spelling, type Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { blockCount, optionalUint } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import type { Role } from '../roles.js'

const EMBEDDINGS: readonly string[] = ['shared.weight', 'encoder.embed_tokens.weight', 'decoder.embed_tokens.weight']

/** The embedding is one, under up to three names: the first in the checkpoint is taken. */
function firstEmbedding(name: string, { tensors }: Config): string | undefined {
  if (!EMBEDDINGS.includes(name)) return name
  const [first] = [...(tensors?.keys() ?? [])].filter((other) => EMBEDDINGS.includes(other))
  return first === undefined || first === name ? 'shared.weight' : undefined
}

const decoderLayers = (config: Config): number => optionalUint(config, 'num_decoder_layers') ?? blockCount(config)
const isGated = (config: Config): boolean =>
  spelling(config, ['feed_forward_proj']) !== undefined && readString(config, 'feed_forward_proj').startsWith('gated')
/** Whether every layer has its own table of relative positions, not the first alone. */
const isUmt5 = ({ values }: Config): boolean => values.get('model_type') === 'umt5'

const inEncoder = (config: Config, block: number): boolean => block < blockCount(config)
const inDecoder = (config: Config, block: number): boolean => block < decoderLayers(config)

const LAYERS = {
  encoder: inEncoder,
  encoderPlain: (config: Config, block: number) => inEncoder(config, block) && !isGated(config),
  encoderGated: (config: Config, block: number) => inEncoder(config, block) && isGated(config),
  encoderPlaced: (config: Config, block: number) => inEncoder(config, block) && (block === 0 || isUmt5(config)),
}

const DECODER_LAYERS = {
  decoder: inDecoder,
  decoderPlain: (config: Config, block: number) => inDecoder(config, block) && !isGated(config),
  decoderGated: (config: Config, block: number) => inDecoder(config, block) && isGated(config),
  decoderPlaced: (config: Config, block: number) => inDecoder(config, block) && (block === 0 || isUmt5(config)),
}

type Matrices = readonly [q: Role, k: Role, v: Role, o: Role]

const attention = (path: string, [q, k, v, o]: Matrices, where: 'layers:encoder' | 'layers:decoder'): TensorRow[] => [
  [`${path}.q`, q, where],
  [`${path}.k`, k, where],
  [`${path}.v`, v, where],
  [`${path}.o`, o, where],
]

const ENCODER: readonly TensorRow[] = [
  ['shared', 'tokenEmbd'],
  ...attention('encoder.block.{block}.layer.0.SelfAttention', ['encAttnQ', 'encAttnK', 'encAttnV', 'encAttnO'], 'layers:encoder'),
  ['encoder.block.{block}.layer.0.SelfAttention.relative_attention_bias', 'encAttnRelB', 'layers:encoderPlaced'],
  ['encoder.block.{block}.layer.0.layer_norm', 'encAttnNorm', 'layers:encoder'],
  ['encoder.block.{block}.layer.1.DenseReluDense.wi', 'encFfnUp', 'layers:encoderPlain'],
  ['encoder.block.{block}.layer.1.DenseReluDense.wi_0', 'encFfnGate', 'layers:encoderGated'],
  ['encoder.block.{block}.layer.1.DenseReluDense.wi_1', 'encFfnUp', 'layers:encoderGated'],
  ['encoder.block.{block}.layer.1.DenseReluDense.wo', 'encFfnDown', 'layers:encoder'],
  ['encoder.block.{block}.layer.1.layer_norm', 'encFfnNorm', 'layers:encoder'],
  ['encoder.final_layer_norm', 'encOutputNorm'],
]

const DECODER: readonly TensorRow[] = [
  ...attention('decoder.block.{block}.layer.0.SelfAttention', ['decAttnQ', 'decAttnK', 'decAttnV', 'decAttnO'], 'layers:decoder'),
  ['decoder.block.{block}.layer.0.SelfAttention.relative_attention_bias', 'decAttnRelB', 'layers:decoderPlaced'],
  ['decoder.block.{block}.layer.0.layer_norm', 'decAttnNorm', 'layers:decoder'],
  ...attention('decoder.block.{block}.layer.1.EncDecAttention', ['decCrossAttnQ', 'decCrossAttnK', 'decCrossAttnV', 'decCrossAttnO'], 'layers:decoder'),
  ['decoder.block.{block}.layer.1.EncDecAttention.relative_attention_bias', 'decCrossAttnRelB', 'optional'], // the first T5s have one
  ['decoder.block.{block}.layer.1.layer_norm', 'decCrossAttnNorm', 'layers:decoder'],
  ['decoder.block.{block}.layer.2.DenseReluDense.wi', 'decFfnUp', 'layers:decoderPlain'],
  ['decoder.block.{block}.layer.2.DenseReluDense.wi_0', 'decFfnGate', 'layers:decoderGated'],
  ['decoder.block.{block}.layer.2.DenseReluDense.wi_1', 'decFfnUp', 'layers:decoderGated'],
  ['decoder.block.{block}.layer.2.DenseReluDense.wo', 'decFfnDown', 'layers:decoder'],
  ['decoder.block.{block}.layer.2.layer_norm', 'decFfnNorm', 'layers:decoder'],
  ['decoder.final_layer_norm', 'decOutputNorm'],
  ['lm_head', 'output', 'tied'],
]

const sizes = (...afterBlocks: readonly HparamRow[]): HparamRow[] => [
  ['context_length', 'u32', 'n_positions', 512],
  ['embedding_length', 'u32', 'd_model', 'required'],
  ['feed_forward_length', 'u32', 'd_ff', 'required'],
  ['block_count', 'u32', blockCount],
  ...afterBlocks,
  ['attention.head_count', 'u32', 'num_heads', 'required'],
  ['attention.key_length', 'u32', 'd_kv', 'required'],
  ['attention.value_length', 'u32', 'd_kv', 'required'],
  ['attention.layer_norm_epsilon', 'f32', 'layer_norm_epsilon', 'required'],
  ['attention.relative_buckets_count', 'u32', 'relative_attention_num_buckets', 'required'],
  ['attention.layer_norm_rms_epsilon', 'f32', 'layer_norm_epsilon', 'required'],
]

const SHAPE = { relative_attention_num_buckets: 32, layer_norm_epsilon: 1e-6, d_kv: 64 }
const DEFAULTS = {
  t5: { missing: { ...SHAPE, feed_forward_proj: 'relu' } },
  mt5: { missing: { ...SHAPE, feed_forward_proj: 'gated-gelu', decoder_start_token_id: 0 } },
  umt5: { missing: { ...SHAPE, feed_forward_proj: 'gated-gelu', decoder_start_token_id: 0 } },
}

export const t5 = defineArchitecture({
  gguf: 't5',
  huggingFace: ['T5ForConditionalGeneration', 'T5WithLMHeadModel', 'MT5ForConditionalGeneration', 'UMT5ForConditionalGeneration', 'UMT5Model'],
  modelType: 't5',
  defaults: DEFAULTS,
  hparams: [
    ...sizes(['decoder_block_count', 'u32', decoderLayers]),
    [
      'decoder_start_token_id',
      'count',
      (config) => (spelling(config, ['decoder_start_token_id']) === undefined ? 0 : readCount(config, 'decoder_start_token_id')),
    ],
    ['general.file_type', 'u32', { given: 'fileType' }],
  ],
  blockCount: (config) => Math.max(readUint(config, 'num_layers'), decoderLayers(config)),
  layers: { ...LAYERS, ...DECODER_LAYERS },
  tensors: [...ENCODER, ...DECODER],
  rename: firstEmbedding,
  tokenizer: 't5',
})

export const t5Encoder = defineArchitecture({
  gguf: 't5encoder',
  huggingFace: ['T5EncoderModel'],
  modelType: 't5',
  hparams: [...sizes(), ['general.file_type', 'u32', { given: 'fileType' }]],
  layers: LAYERS,
  tensors: ENCODER,
  rename: firstEmbedding,
  tokenizer: 't5',
})
