/**
 * Models whose output is their embedding (tie_word_embeddings): the checkpoint has one tensor for both. Which names these
 * ends have.
 */
import type { TensorInfo } from '../core/tensor-info.js'

const HEADS: ReadonlySet<string> = new Set(['lm_head', 'embed_out'])
const EMBEDDING = /(?:^|\.)(?:embed_tokens|wte|word_embeddings|embed_in|shared|tok_embeddings)\.weight$/

/** Whether a module is an output. @param module  its path in the model */
export function isTiedHead(module: string): boolean {
  return HEADS.has(module.slice(module.lastIndexOf('.') + 1))
}

/** Whether a tensor is an input embedding. */
export function isEmbedding(name: string): boolean {
  return EMBEDDING.test(name)
}

/** The embedding of a base that has no output of its own; undefined when it has one. */
export function tiedEmbedding(base: ReadonlyMap<string, TensorInfo>): TensorInfo | undefined {
  let embedding: TensorInfo | undefined
  for (const [name, tensor] of base) {
    if (name.endsWith('.weight') && isTiedHead(name.slice(0, -'.weight'.length))) return undefined
    if (embedding === undefined && isEmbedding(name)) embedding = tensor
  }
  return embedding
}

/** Name of the output's own tensor. @param head  its module, as the adapter or the model class spells it */
export function untiedName(head: string, embedding: string): string {
  const leaf = head.slice(head.lastIndexOf('.') + 1)
  return embedding.startsWith('language_model.model.') ? `language_model.${leaf}.weight` : `${leaf}.weight`
}
