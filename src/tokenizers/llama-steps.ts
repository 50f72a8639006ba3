/**
 * What the Llama family does besides reading a tokenizer.
 *
 * Law: llama.cpp conversion/llama.py `LlamaModel.set_vocab`.
 */
import { UnsupportedError } from '../core/errors.js'
import { bool } from '../core/key-value.js'
import type { Draft } from './draft.js'
import { mistral } from './mistral-steps.js'
import { infillIds } from './sentencepiece-steps.js'

/** A folder with Mistral's tekken.json and no tokenizer.json. */
export async function ifTekken(draft: Draft): Promise<boolean> {
  return draft.files.has('tekken.json') && !draft.files.has('tokenizer.json') && mistral(draft)
}

/** DNA models: their words exist in Python code only. */
export async function hybridDna({ files }: Draft): Promise<boolean> {
  const file = 'tokenizer_config.json'
  if ((await files.json(file))?.get('tokenizer_class') === 'HybridDNATokenizer') throw new UnsupportedError('HybridDNATokenizer is not supported.', { file })
  return false
}

/** CodeLlama: the end of an infill is a token of its own. The other infill tokens have no key in the reference. */
export async function codeLlama(draft: Draft): Promise<boolean> {
  if (draft.vocabSize !== 32016) return false
  const ids = [
    ['prefix', 32007],
    ['suffix', 32008],
    ['middle', 32009],
    ['eot', 32010],
  ] as const
  return infillIds(['prefix', 'suffix', 'middle', 'eot'], ids, true)(draft)
}

/** Granite's small models: told apart by the size of their vocabulary, as the reference does. */
export async function smallGranite(draft: Draft): Promise<boolean> {
  if (draft.vocabSize !== 49152) return false
  draft.keyValues.set('tokenizer.ggml.add_bos_token', bool(false))
  return true
}
