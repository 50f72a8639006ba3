/**
 * Tensors of a checkpoint that have no place in a text model's GGUF and are left out, as the reference leaves them out;
 * but said. Only names that no row matches are looked up here.
 *
 * Law: conversion/base.py `prepare_tensors` (buffers), `TextModel.filter_tensors` (other modalities). Narrower here: the
 * reference also drops every name that begins with `mlp`; ours only InternVL's `mlp1.`.
 */

export interface SkippedTensor {
  readonly name: string
  /**
   * buffer: computed again when the model runs. modality: eyes, ears or voice, which a text model lacks. unused: llama.cpp has no place for it.
   * prediction: layers that guess further tokens, after the last of the model's own.
   */
  readonly reason: 'buffer' | 'modality' | 'unused' | 'prediction'
}

const BUFFER_ENDS = ['.attention.masked_bias', '.attention.bias', '.rotary_emb.inv_freq']
const MODALITY_STARTS = [
  'mlp1.',
  'vit.',
  'vpm.',
  'siglip2.',
  'conformer.',
  'merger.',
  'model.merger.',
  'model.aligner.',
  'model.generation_',
  'model.vqmodel.',
  'mlp_AR.',
  'resampler.',
  'sound_encoder.',
  'sound_projection.',
  'speech_embeddings.',
]
const MODALITY_PARTS = [
  'visual.',
  'vision.',
  'audio.',
  'talker.',
  'vision_',
  'audio_',
  'token2wav.',
  'code2wav.',
  'projector.',
  'pre_mm_projector_norm',
  'image_newline',
  'view_seperator',
  'patch_embed', // and patch_embedding
  'patch_merger.',
  'patch_merge_mlp.',
  'model.connector.',
]

/** Why a name that no row matches is left out; undefined = it is not, it is an error. */
export function skipReason(name: string): SkippedTensor['reason'] | undefined {
  if (BUFFER_ENDS.some((end) => name.endsWith(end))) return 'buffer'
  if (MODALITY_STARTS.some((start) => name.startsWith(start)) || MODALITY_PARTS.some((part) => name.includes(part))) return 'modality'
  return undefined
}
