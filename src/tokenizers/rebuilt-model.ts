/**
 * The SentencePiece model that a tokenizer.json was made from, rebuilt: transformers 5 saves no tokenizer.model, and
 * llama.cpp needs the pieces with their scores.
 *
 *   BPE with byte fallback: ids and pieces as they are; the order of merges gives the scores
 *   Unigram:                pieces and scores as they are
 *
 * SentencePiece numbers the pieces of a BPE model in the order in which training merged them, and scores the n-th with
 * -n. So where the merges of tokenizer.json make pieces in the order of their ids, the scores come out as they were.
 * What cannot be known any more: the scores of pieces that the trainer was given (they were 0), and which were unused.
 *
 * Law: google/sentencepiece bpe_model_trainer.cc; transformers convert_slow_tokenizer.py `SpmConverter`.
 */
import { FormatError, UnsupportedError } from '../core/errors.js'
import { isArray, isObject, type Json, type JsonObject, textOr } from '../core/json.js'
import { mergedPieces } from './merges.js'
import { PIECE_TYPES, type SentencePieceModel } from './sentencepiece-model.js'
import { tokensById, type Vocabulary } from './tokenizer-json.js'

/** @throws UnsupportedError when the tokenizer.json stands for no SentencePiece model, FormatError */
export function rebuildModel(vocabulary: Vocabulary): SentencePieceModel {
  const model = vocabulary.json.get('model')
  const unigram = vocabulary.modelType === 'Unigram'
  if (!isObject(model) || (!unigram && !(vocabulary.modelType === 'BPE' && model.get('byte_fallback') === true)))
    throw new UnsupportedError('stands for no SentencePiece model (BPE with byte fallback, or Unigram); put tokenizer.model beside it.', {
      file: vocabulary.file,
    })
  const pieces = withBytes(piecesOf(vocabulary))
  const types = typesOf(pieces, vocabulary, unkId(model, vocabulary), model.get('byte_fallback') === true)
  const normalizer = normalizerFacts(vocabulary.json)
  return {
    file: vocabulary.file,
    pieces,
    scores: unigram ? unigramScores(model, pieces.length, vocabulary.file) : bpeScores(model, pieces, types, vocabulary),
    types,
    modelType: unigram ? 1 : 2,
    unkId: unkId(model, vocabulary),
    bosId: -1,
    eosId: -1,
    padId: -1,
    ...normalizer,
  }
}

function piecesOf(vocabulary: Vocabulary): string[] {
  const highest = [...vocabulary.base.values()].reduce((most, id) => Math.max(most, id), -1)
  return tokensById({ ...vocabulary, added: new Map() }, highest + 1).map((token, id) => token ?? `[PAD${id}]`)
}

/** Gemma's tokenizer.json has the tab itself where its model has the byte 09: what stands in a byte's place becomes that byte again. */
function withBytes(pieces: readonly string[]): string[] {
  const zero = pieces.indexOf('<0x00>')
  if (zero < 0) return [...pieces]
  return pieces.map((piece, id) => (id > zero && id < zero + 256 && piece === String.fromCharCode(id - zero) ? byteToken(id - zero) : piece))
}

function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`
}

function unkId(model: JsonObject, vocabulary: Vocabulary): number {
  const id = model.get('unk_id') ?? vocabulary.base.get(textOr(model.get('unk_token'), ''))
  return typeof id === 'number' ? id : -1
}

function typesOf(pieces: readonly string[], vocabulary: Vocabulary, unknown: number, byteFallback: boolean): Uint8Array {
  return Uint8Array.from(pieces, (piece, id) => {
    if (id === unknown) return PIECE_TYPES.unknown
    if (byteFallback && piece.length === 6 && /^<0x[0-9A-Fa-f]{2}>$/.test(piece)) return PIECE_TYPES.byte
    if (vocabulary.added.get(id)?.special === true) return PIECE_TYPES.control
    return vocabulary.base.get(piece) === id ? PIECE_TYPES.normal : PIECE_TYPES.unused
  })
}

function unigramScores(model: JsonObject, count: number, file: string): Float32Array {
  const list = model.get('vocab')
  const scores = new Float32Array(count)
  for (const [id, entry] of (isArray(list) ? list : []).entries()) {
    const score = isArray(entry) ? entry[1] : undefined
    if (typeof score !== 'number') throw new FormatError(`piece ${id} of "model.vocab" has no score.`, { file })
    scores[id] = score
  }
  return scores
}

/**
 * The trainer puts pieces that it was given first, then bytes, then those it found, the n-th with score -n. Where merges
 * make the pieces behind the bytes in the order of their ids, that is what happened, and the scores follow from the ids;
 * else from the order of the merges, pieces that none makes coming last.
 */
function bpeScores(model: JsonObject, pieces: readonly string[], types: Uint8Array, vocabulary: Vocabulary): Float32Array {
  const first = types.lastIndexOf(PIECE_TYPES.byte) + 1
  const isTrained = (id: number) => types[id] === PIECE_TYPES.normal && !vocabulary.added.has(id)
  const order = mergedIds(mergedPieces(model.get('merges'), vocabulary.file), pieces, vocabulary.base).filter(isTrained)
  const found = order.filter((id) => id >= first)
  const scores = new Float32Array(pieces.length)
  if (found.every((id, n) => n === 0 || id > (found[n - 1] ?? 0))) {
    for (let id = first; id < pieces.length; id++) if (isTrained(id)) scores[id] = -(id - first) // the first one is -0, as the trainer writes it
    return scores
  }
  const made = new Set(order)
  const last = [...pieces.keys()].filter((id) => isTrained(id) && !made.has(id))
  for (const [n, id] of [...order, ...last].entries()) scores[id] = -n
  return scores
}

/**
 * Ids of the pieces that merges make, each once, in the order of the merges. Where these follow the ids, as they mostly do, the next piece is the one of the
 * merge before or the one behind it: a look at both saves half a million searches.
 */
function mergedIds(merged: readonly string[], pieces: readonly string[], base: ReadonlyMap<string, number>): number[] {
  const ids: number[] = []
  const isThere = new Uint8Array(pieces.length)
  let last = 0
  for (const piece of merged) {
    const id = piece === pieces[last] ? last : piece === pieces[last + 1] ? last + 1 : base.get(piece)
    if (id === undefined) continue
    last = id
    if (isThere[id] === 1) continue
    isThere[id] = 1
    ids.push(id)
  }
  return ids
}

type NormalizerFacts = Pick<SentencePieceModel, 'addDummyPrefix' | 'removeExtraWhitespaces' | 'precompiledCharsmap'>

/** The settings that a normalizer and a pre-tokenizer were made from. */
function normalizerFacts(json: JsonObject): NormalizerFacts {
  const normalizers = flat(json.get('normalizer'), 'normalizers')
  const splitters = flat(json.get('pre_tokenizer'), 'pretokenizers')
  const has = (steps: readonly JsonObject[], type: string) => steps.find((step) => step.get('type') === type)
  const metaspace = has(splitters, 'Metaspace')
  const prefixed =
    metaspace !== undefined && (metaspace.get('prepend_scheme') ?? (metaspace.get('add_prefix_space') === false ? 'never' : 'always')) !== 'never'
  const charsmap = has(normalizers, 'Precompiled')?.get('precompiled_charsmap')
  return {
    addDummyPrefix: prefixed || has(normalizers, 'Prepend') !== undefined,
    removeExtraWhitespaces: normalizers.some((step) => step.get('type') === 'Strip' || isManySpaces(step.get('pattern'))),
    precompiledCharsmap: typeof charsmap === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(charsmap) ? bytesOf(charsmap) : new Uint8Array(0),
  }
}

function isManySpaces(pattern: Json | undefined): boolean {
  return isObject(pattern) && pattern.get('Regex') === ' {2,}'
}

function flat(step: Json | undefined, list: string): JsonObject[] {
  if (!isObject(step)) return []
  const inner = step.get(list)
  return isArray(inner) ? inner.filter(isObject) : [step]
}

function bytesOf(base64: string): Uint8Array {
  const binary = atob(base64)
  return Uint8Array.from(binary, (char) => char.charCodeAt(0))
}
