/**
 * Byte-level BPE: the step that most recipes are, or end with.
 *
 * Law: llama.cpp conversion/base.py `_set_vocab_gpt2`.
 */
import { UnsupportedError } from '../core/errors.js'
import { addTable, mergeSpecial, noTokenizer, type Draft } from './draft.js'
import { recognisePreTokenizer } from './pre-tokenizer.js'
import { readSpecialVocab } from './special-vocab.js'
import { readVocabulary } from './tokenizer-json.js'
import { byteLevelTable } from './vocabularies.js'

export async function byteLevel(draft: Draft): Promise<boolean> {
  const { files, config } = draft
  const vocabulary = await readVocabulary(files)
  if (vocabulary === undefined) throw noTokenizer(draft, 'tokenizer.json, or vocab.json with merges.txt')
  if (vocabulary.modelType !== 'BPE')
    throw new UnsupportedError(`a tokenizer with a ${vocabulary.modelType} model is not supported.`, { file: vocabulary.file })
  const table = byteLevelTable(vocabulary, draft.vocabSize)
  const special = await readSpecialVocab(files, config, { loadMerges: true })
  const pre = await recognisePreTokenizer(vocabulary, await files.json('tokenizer_config.json'), special.ids.get('bos'), draft.givenPre)
  draft.notes.push(pre.note)
  addTable(draft, table, pre.name)
  mergeSpecial(draft, special)
  return true
}
