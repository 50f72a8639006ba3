/**
 * BERT's WordPiece, and which of its descendants keep another tokenizer.
 *
 * Law: llama.cpp conversion/bert.py.
 */
import { UnsupportedError, quoted } from '../core/errors.js'
import { isObject, textOr } from '../core/json.js'
import { u32 } from '../core/key-value.js'
import { byteLevel } from './byte-level-steps.js'
import { addSpecial, addTable, mergeSpecial, noTokenizer, type Draft } from './draft.js'
import { recognisePreTokenizer } from './pre-tokenizer.js'
import { readSpecialVocab } from './special-vocab.js'
import { TOKEN_TYPES } from './token-types.js'
import { readVocabulary } from './tokenizer-json.js'
import { typeCount, xlmRoberta } from './unigram-steps.js'
import { listedTable } from './vocabularies.js'

/** WordPiece. llama.cpp wants a sign in front of what begins a word, and none in front of what continues one. */
export async function bert(draft: Draft): Promise<boolean> {
  const { files, config } = draft
  const vocabulary = await readVocabulary(files)
  if (vocabulary === undefined) throw noTokenizer(draft, 'tokenizer.json, or vocab.txt')
  const table = listedTable(vocabulary, draft.vocabSize)
  addTypeCount(draft, typeCount(config))
  const tokens = table.tokens.map((token, id) => (table.types[id] === TOKEN_TYPES.control ? token : token.startsWith('##') ? token.slice(2) : `\u2581${token}`))
  // llama.cpp does not look at the name for WordPiece: any will do for a vocabulary of the model's own
  const otherwise = vocabulary.modelType === 'WordPiece' ? 'default' : undefined
  const pre = await recognisePreTokenizer(vocabulary, await files.json('tokenizer_config.json'), undefined, draft.givenPre, otherwise)
  draft.notes.push(pre.note)
  addTable(draft, { ...table, model: 'bert', tokens }, pre.name)
  await addSpecial(draft, { loadMerges: false, tokenCount: tokens.length })
  return true
}

/** RoBERTa: byte-level BPE where there is a tokenizer.json. */
export async function roberta(draft: Draft): Promise<boolean> {
  if (!draft.files.has('tokenizer.json') && !draft.files.has('vocab.json')) return bert(draft)
  await byteLevel(draft)
  addTypeCount(draft, typeCount(draft.config))
  return true
}

/** Nomic Embed: the one with experts has XLM-RoBERTa's tokenizer. */
export async function nomicBert(draft: Draft): Promise<boolean> {
  const tokenizer = await draft.files.json('tokenizer.json')
  const model = tokenizer?.get('model')
  const unigram = isObject(model) && model.get('type') === 'Unigram'
  return unigram || draft.files.has('sentencepiece.bpe.model') ? xlmRoberta(draft) : bert(draft)
}

/** Jina embeddings 2: by the tokenizer's class; the Chinese one splits at spaces. */
export async function jinaBert2(draft: Draft): Promise<boolean> {
  const file = 'tokenizer_config.json'
  const name = textOr((await draft.files.json(file))?.get('tokenizer_class'), '').replace(/Fast$/, '')
  if (name === 'BertTokenizer') return bert(draft)
  if (name !== 'RobertaTokenizer') throw new UnsupportedError(`tokenizer_class ${quoted(name)}: BertTokenizer or RobertaTokenizer wanted.`, { file })
  const preTokenizer = (await draft.files.json('tokenizer.json'))?.get('pre_tokenizer')
  await (isObject(preTokenizer) && preTokenizer.get('type') === 'Whitespace' ? whitespace(draft) : byteLevel(draft))
  addTypeCount(draft, 2)
  return true
}

/** BPE over words between spaces. The name is fixed: its hash is another tokenizer's. */
async function whitespace(draft: Draft): Promise<boolean> {
  const vocabulary = await readVocabulary(draft.files)
  if (vocabulary === undefined) throw noTokenizer(draft, 'tokenizer.json')
  const table = listedTable(vocabulary, draft.vocabSize)
  addTable(draft, { ...table, model: 'whitespace' }, 'whitespace')
  mergeSpecial(draft, await readSpecialVocab(draft.files, draft.config, { loadMerges: true }))
  return true
}

function addTypeCount({ keyValues }: Draft, count: number): void {
  keyValues.set('tokenizer.ggml.token_type_count', u32(count))
}
