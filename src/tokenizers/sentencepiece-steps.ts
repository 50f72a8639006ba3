/**
 * Steps for tokenizers that are SentencePiece models, from tokenizer.model or from a tokenizer.json that stands for one.
 *
 * Law: llama.cpp conversion/base.py `_set_vocab_sentencepiece`, `_set_vocab_llama_hf`; conversion/llama.py `LlamaModel.set_vocab`.
 */
import { FormatError, UnsupportedError } from '../core/errors.js'
import { kindOf } from '../core/json.js'
import { bool } from '../core/key-value.js'
import { addSpecial, addTable, noTokenizer, type Draft } from './draft.js'
import { readVocabulary } from './tokenizer-json.js'
import { isLlamaJson, llamaJsonTable, sentencePieceTable, type TokenTable } from './vocabularies.js'

/** tokenizer.model; passes when there is none. */
export async function sentencePiece(draft: Draft): Promise<boolean> {
  if (!draft.files.has('tokenizer.model')) return false
  const table = await sentencePieceTable(draft.files, draft.vocabSize)
  return finishSentencePiece(draft, table)
}

/** A tokenizer.json with byte fallback; passes when it is another. */
export async function llamaJson(draft: Draft): Promise<boolean> {
  const tokenizer = await draft.files.json('tokenizer.json')
  const vocabulary = tokenizer !== undefined && isLlamaJson(tokenizer) ? await readVocabulary(draft.files) : undefined
  return vocabulary !== undefined && finishSentencePiece(draft, llamaJsonTable(vocabulary))
}

async function finishSentencePiece(draft: Draft, table: TokenTable): Promise<boolean> {
  if (draft.givenPre !== undefined) draft.notes.push(`--pre ${draft.givenPre} was not used: this tokenizer has no pre-tokenizer to name`)
  addTable(draft, table, 'default')
  await addSpecial(draft, { loadMerges: false, tokenCount: table.tokens.length })
  return true
}

export async function missingModel(draft: Draft): Promise<boolean> {
  throw noTokenizer(draft, 'tokenizer.model')
}

export async function refuseTekken({ files }: Draft): Promise<boolean> {
  if (files.has('tekken.json') && !files.has('tokenizer.json')) {
    throw new UnsupportedError("is a tokenizer in Mistral's own format, which is not supported; put the model's tokenizer.json beside it.", {
      file: 'tekken.json',
    })
  }
  return true
}

/** tokenizer_config.json's add_prefix_space, before everything else. */
export async function addSpacePrefix({ files, keyValues }: Draft): Promise<boolean> {
  const file = 'tokenizer_config.json'
  const config = await files.json(file)
  const add = config?.get('add_prefix_space') ?? null
  if (add !== null && typeof add !== 'boolean') throw new FormatError(`"add_prefix_space" is ${kindOf(add)}, true or false wanted.`, { file })
  if (add !== null) keyValues.set('tokenizer.ggml.add_space_prefix', bool(add))
  if (config?.get('tokenizer_class') === 'HybridDNATokenizer') throw new UnsupportedError('HybridDNATokenizer is not supported.', { file })
  return true
}

/** CodeLlama: the end of an infill is a token of its own. The other infill tokens have no key in the reference. */
export async function codeLlama(draft: Draft): Promise<boolean> {
  if (draft.vocabSize !== 32016) return false
  await addSpecial(draft, {
    loadMerges: false,
    kinds: ['prefix', 'suffix', 'middle', 'eot'],
    fallbackIds: [
      ['prefix', 32007],
      ['suffix', 32008],
      ['middle', 32009],
      ['eot', 32010],
    ],
  })
  return true
}

/** Granite's small models: told apart by the size of their vocabulary, as the reference does. */
export async function smallGranite(draft: Draft): Promise<boolean> {
  if (draft.vocabSize !== 49152) return false
  draft.keyValues.set('tokenizer.ggml.add_bos_token', bool(false))
  return true
}
