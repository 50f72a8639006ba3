/** CRC-32 as zip archives have it (reflected, polynomial 0xEDB88320), eight bytes at a time. */

const TABLES: readonly Uint32Array[] = makeTables()

/** x^(2^i); polynomials are reflected: the highest bit is the constant. Lengths stay below 2^53 bytes. */
const SQUARES: readonly number[] = makeSquares(56)

/** @param crc  of the bytes before these */
export function crc32(bytes: Uint8Array, crc = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES as [Uint32Array, Uint32Array, Uint32Array, Uint32Array, Uint32Array, Uint32Array, Uint32Array, Uint32Array]
  let c = ~crc
  let i = 0
  for (const end = bytes.length - 7; i < end; i += 8) {
    c ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    c =
      t7[c & 255]! ^
      t6[(c >>> 8) & 255]! ^
      t5[(c >>> 16) & 255]! ^
      t4[c >>> 24]! ^
      t3[bytes[i + 4]!]! ^
      t2[bytes[i + 5]!]! ^
      t1[bytes[i + 6]!]! ^
      t0[bytes[i + 7]!]!
  }
  for (; i < bytes.length; i++) c = t0[(c ^ bytes[i]!) & 255]! ^ (c >>> 8)
  return ~c >>> 0
}

/** The CRC of two runs of bytes, one after the other, from the CRCs of both. @param byteLength  of the second one */
export function crc32Combined(first: number, second: number, byteLength: number): number {
  let shifted = first // times x^(8 * byteLength), a square at a time
  let rest = byteLength * 8
  for (let i = 0; rest >= 1 && shifted !== 0; i++, rest = Math.floor(rest / 2)) if (rest % 2 === 1) shifted = product(SQUARES[i]!, shifted)
  return (shifted ^ second) >>> 0
}

/** Product of two polynomials over GF(2), modulo the CRC's. */
function product(a: number, b: number): number {
  let [sum, shifted] = [0, b]
  for (let bit = 31; bit >= 0; bit--) {
    if ((a >>> bit) & 1) sum ^= shifted
    shifted = shifted & 1 ? (shifted >>> 1) ^ 0xedb88320 : shifted >>> 1
  }
  return sum >>> 0
}

/** Table k gives the CRC of a byte that k zero bytes follow. */
function makeTables(): Uint32Array[] {
  const first = Uint32Array.from({ length: 256 }, (_, byte) => {
    let c = byte
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1
    return c
  })
  const tables = [first]
  for (let k = 1; k < 8; k++) tables.push(tables[k - 1]!.map((c) => first[c & 255]! ^ (c >>> 8)))
  return tables
}

function makeSquares(count: number): number[] {
  const squares = [0x40000000]
  while (squares.length < count) squares.push(product(squares.at(-1)!, squares.at(-1)!))
  return squares
}
