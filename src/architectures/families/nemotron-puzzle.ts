/**
 * Nemotron 3 pruned by Puzzle: its layers differ in their experts.
 *
 * Law: conversion/nemotron.py `NemotronHPuzzleModel` (llama.cpp 0c1e570).
 */
import { isArray, isObject } from '../../core/json.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { optionalUint } from '../dimensions.js'
import { NEMOTRON, NEMOTRON_EXPERTS, NEMOTRON_MOE_HPARAMS, nemotronHparams } from './nemotron-h.js'

/** What the config says of each layer. */
function ofBlocks(key: string): (config: Config) => readonly number[] {
  return (config) => {
    const blocks = config.values.get('block_configs') ?? null
    if (!isArray(blocks)) return [readUint(config, key)]
    return blocks.map((values) => (isObject(values) ? (optionalUint({ ...config, values }, key) ?? 0) : 0))
  }
}

export const nemotronPuzzle = defineArchitecture({
  ...NEMOTRON,
  gguf: 'nemotron_h_moe',
  huggingFace: ['NemotronHPuzzleForCausalLM'],
  modelType: 'nemotron_h_puzzle',
  hparams: nemotronHparams(
    ['feed_forward_length', 'i32[]', ofBlocks('moe_intermediate_size')],
    ['expert_feed_forward_length', 'i32[]', ofBlocks('moe_intermediate_size')],
    ['expert_used_count', 'i32[]', ofBlocks('num_experts_per_tok')],
    ...NEMOTRON_MOE_HPARAMS,
  ),
  tensors: [...NEMOTRON.tensors, ...NEMOTRON_EXPERTS],
})
