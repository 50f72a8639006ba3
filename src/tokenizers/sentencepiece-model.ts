/**
 * Reads a SentencePiece model (tokenizer.model): its pieces with score and type, and the few settings that matter.
 *
 *   ModelProto { repeated SentencePiece pieces = 1; TrainerSpec trainer_spec = 2; NormalizerSpec normalizer_spec = 3 }
 *   SentencePiece { string piece = 1; float score = 2; Type type = 3 [NORMAL] }
 *
 * Law: google/sentencepiece sentencepiece_model.proto and the checks of model_interface.cc `InitializePieces` (no empty
 * piece, no piece twice, exactly one unknown). Protobuf rules: unknown fields are skipped, the last scalar wins.
 */
import { FormatError, quoted } from '../core/errors.js'

/** Type of a piece, by its number in the file; the same numbers are GGUF's token types. */
export const PIECE_TYPES = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

/** A model as plain data: index = token id. */
export interface SentencePieceModel {
  /** Name of the file, for messages. */
  readonly file: string
  readonly pieces: readonly string[]
  readonly scores: Float32Array
  /** Numbers of PIECE_TYPES. */
  readonly types: Uint8Array
  /** 1 unigram, 2 BPE, 3 word, 4 char. */
  readonly modelType: number
  readonly unkId: number
  readonly bosId: number
  readonly eosId: number
  readonly padId: number
  readonly addDummyPrefix: boolean
  readonly removeExtraWhitespaces: boolean
  readonly precompiledCharsmap: Uint8Array
}

/** The scalars of trainer_spec and normalizer_spec that are kept: field number -> name, and the proto's default. */
const TRAINER_FIELDS = new Map([
  [3, 'modelType'],
  [40, 'unkId'],
  [41, 'bosId'],
  [42, 'eosId'],
  [43, 'padId'],
])
const NORMALIZER_FIELDS = new Map([
  [3, 'addDummyPrefix'],
  [4, 'removeExtraWhitespaces'],
])
const DEFAULTS: readonly (readonly [string, number])[] = [
  ['modelType', 1],
  ['unkId', 0],
  ['bosId', 1],
  ['eosId', 2],
  ['padId', -1],
  ['addDummyPrefix', 1],
  ['removeExtraWhitespaces', 1],
]

/** Parses the bytes of a tokenizer.model. @throws FormatError with the offset of the fault */
export function readSentencePieceModel(bytes: Uint8Array, file: string): SentencePieceModel {
  const reader = new WireReader(bytes, file)
  const pieces: string[] = []
  const scores: number[] = []
  const types: number[] = []
  const settings = new Map<string, number>(DEFAULTS)
  let precompiledCharsmap = new Uint8Array(0)
  for (const field of reader.fields(0, bytes.length)) {
    if (field.number === 1) {
      const piece = readPiece(reader, field)
      pieces.push(piece.text)
      scores.push(piece.score)
      types.push(piece.type)
    } else if (field.number === 2) readScalars(reader, field, TRAINER_FIELDS, settings)
    else if (field.number === 3) precompiledCharsmap = readScalars(reader, field, NORMALIZER_FIELDS, settings) ?? precompiledCharsmap
  }
  checkPieces(pieces, types, file)
  const setting = (name: string) => settings.get(name) ?? 0
  return {
    file,
    pieces,
    scores: Float32Array.from(scores),
    types: Uint8Array.from(types),
    modelType: setting('modelType'),
    unkId: setting('unkId'),
    bosId: setting('bosId'),
    eosId: setting('eosId'),
    padId: setting('padId'),
    addDummyPrefix: setting('addDummyPrefix') !== 0,
    removeExtraWhitespaces: setting('removeExtraWhitespaces') !== 0,
    precompiledCharsmap,
  }
}

function readPiece(reader: WireReader, message: Field): { text: string; score: number; type: number } {
  let text = ''
  let score = 0
  let type: number = PIECE_TYPES.normal
  for (const field of reader.inside(message)) {
    if (field.number === 1) text = reader.text(field)
    else if (field.number === 2) score = reader.float(field)
    else if (field.number === 3) {
      const value = reader.integer(field)
      if (value >= PIECE_TYPES.normal && value <= PIECE_TYPES.byte) type = value // proto2: a value unknown to the enum keeps the default
    }
  }
  return { text, score, type }
}

/** Takes over the scalars that `names` knows; gives the charsmap of a normalizer_spec when there is one. */
function readScalars(
  reader: WireReader,
  message: Field,
  names: ReadonlyMap<number, string>,
  settings: Map<string, number>,
): Uint8Array<ArrayBuffer> | undefined {
  let charsmap: Uint8Array<ArrayBuffer> | undefined
  for (const field of reader.inside(message)) {
    const name = names.get(field.number)
    if (name !== undefined) settings.set(name, reader.integer(field))
    else if (names === NORMALIZER_FIELDS && field.number === 2) charsmap = reader.data(field)
  }
  return charsmap
}

function checkPieces(pieces: readonly string[], types: readonly number[], file: string): void {
  if (pieces.length === 0) throw new FormatError('holds no pieces: not a SentencePiece model.', { file })
  const seen = new Map<string, number>()
  let unknown = -1
  for (const [id, piece] of pieces.entries()) {
    if (piece === '') throw new FormatError(`piece ${id} is empty.`, { file })
    const before = seen.get(piece)
    if (before !== undefined) throw new FormatError(`the piece ${quoted(piece)} stands twice, as id ${before} and ${id}.`, { file })
    seen.set(piece, id)
    if (types[id] !== PIECE_TYPES.unknown) continue
    if (unknown >= 0) throw new FormatError(`two pieces are of type UNKNOWN, ids ${unknown} and ${id}; exactly one wanted.`, { file })
    unknown = id
  }
  if (unknown < 0) throw new FormatError('no piece is of type UNKNOWN; exactly one wanted.', { file })
}

/** One field of a message: its number, wire type, and where its value lies. */
interface Field {
  readonly number: number
  readonly wireType: number
  readonly start: number
  readonly end: number
}

const VARINT = 0
const FIXED64 = 1
const DELIMITED = 2
const FIXED32 = 5

/** Protobuf's wire format over bytes in memory: every length is checked against the message it lies in. */
class WireReader {
  private readonly bytes: Uint8Array
  private readonly view: DataView
  private readonly file: string
  private readonly utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

  constructor(bytes: Uint8Array, file: string) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.file = file
  }

  inside(message: Field): Generator<Field> {
    this.wire(message, DELIMITED)
    return this.fields(message.start, message.end)
  }

  *fields(start: number, end: number): Generator<Field> {
    let at = start
    while (at < end) {
      const tagAt = at
      const tag = this.varint(at, end)
      at = tag.next
      const number = Math.floor(tag.value / 8)
      const wireType = tag.value % 8
      if (number < 1 || number >= 2 ** 29) throw this.fault(`field number ${number}: not a SentencePiece model`, tagAt)
      const field = this.extent(number, wireType, at, end, tagAt)
      yield field
      at = field.end
    }
  }

  integer(field: Field): number {
    this.wire(field, VARINT)
    return this.varint(field.start, field.end).value
  }

  float(field: Field): number {
    this.wire(field, FIXED32)
    return this.view.getFloat32(field.start, true)
  }

  text(field: Field): string {
    this.wire(field, DELIMITED)
    try {
      return this.utf8.decode(this.bytes.subarray(field.start, field.end))
    } catch {
      throw this.fault('a piece is not valid UTF-8', field.start)
    }
  }

  data(field: Field): Uint8Array<ArrayBuffer> {
    this.wire(field, DELIMITED)
    return this.bytes.slice(field.start, field.end)
  }

  private extent(number: number, wireType: number, at: number, end: number, tagAt: number): Field {
    if (wireType === VARINT) return { number, wireType, start: at, end: this.varint(at, end).next }
    const length = wireType === DELIMITED ? this.varint(at, end) : { value: wireType === FIXED32 ? 4 : 8, next: at }
    if (wireType !== DELIMITED && wireType !== FIXED32 && wireType !== FIXED64)
      throw this.fault(`wire type ${wireType} of field ${number}: not a SentencePiece model`, tagAt)
    if (length.value < 0 || length.value > end - length.next)
      throw this.fault(`field ${number} has ${length.value} bytes, ${end - length.next} left: the file is cut short or no SentencePiece model`, tagAt)
    return { number, wireType, start: length.next, end: length.next + length.value }
  }

  /** Up to 10 bytes of 7 bits, low first; negative int32 values lie there as 64 bits in two's complement. */
  private varint(at: number, end: number): { value: number; next: number } {
    let value = 0
    let low = 0n
    for (let i = 0; i < 10 && at + i < end; i++) {
      const byte = this.bytes[at + i] ?? 0
      if (i < 7) value += (byte & 0x7f) * 2 ** (7 * i)
      else low |= BigInt(byte & 0x7f) << BigInt(7 * i)
      if (byte >= 0x80) continue
      if (i < 7) return { value, next: at + i + 1 }
      return { value: Number(BigInt.asIntN(64, BigInt(value) + low)), next: at + i + 1 }
    }
    throw this.fault('a number does not end', at)
  }

  private wire(field: Field, wanted: number): void {
    if (field.wireType !== wanted) throw this.fault(`field ${field.number} has wire type ${field.wireType}, ${wanted} wanted`, field.start)
  }

  private fault(what: string, offset: number): FormatError {
    return new FormatError(`${what}.`, { file: this.file, offset })
  }
}
