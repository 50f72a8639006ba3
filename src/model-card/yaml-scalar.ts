/**
 * What an unquoted YAML scalar means: the types of YAML 1.1 as PyYAML's safe_load sees them, which differ from the
 * specification's (`1e5` and `y` are text, `010` is 8, `1:30` is 90, `2024-01-31` is a date).
 *
 * Law: PyYAML 6.0.3 resolver.py, constructor.py.
 */

/** A floating-point number of a card: kept apart from integers, which GGUF arrays type differently. */
export interface CardFloat {
  readonly float: number
}

/** A value that has no text or number in it (a date, bytes): kept so that it can be named when it is left out. */
export interface CardOther {
  readonly other: string
}

/** A value of a model card. */
export type CardValue = null | boolean | number | bigint | string | CardFloat | CardOther | readonly CardValue[] | CardMap
export type CardMap = ReadonlyMap<string, CardValue>

const BOOLEAN = /^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$/
const NULL = /^(?:~|null|Null|NULL|)$/
const FLOAT = /^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?)$/
const FLOAT_BASE_60 = /^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*$/
const INFINITE = /^(?:[-+]?\.(?:inf|Inf|INF))$/
const NOT_A_NUMBER = /^\.(?:nan|NaN|NAN)$/
const INTEGER = /^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$/
const DATE = /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/
const TIME = /^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?$/

const MAX_DIGITS = 4300 // Python refuses longer integers, and BigInt takes quadratic time

/** The value of a plain (unquoted, untagged) scalar. */
export function plainScalar(text: string): CardValue {
  if (NULL.test(text)) return null
  if (BOOLEAN.test(text)) return /^(?:yes|true|on)$/i.test(text)
  if (FLOAT.test(text)) return { float: Number(text.replaceAll('_', '')) }
  if (INFINITE.test(text)) return { float: text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY }
  if (NOT_A_NUMBER.test(text)) return { float: Number.NaN }
  if (FLOAT_BASE_60.test(text)) return { float: base60(text.replaceAll('_', '')) }
  if (INTEGER.test(text)) return integer(text)
  if (DATE.test(text) || TIME.test(text)) return { other: 'a date' }
  return text
}

function integer(text: string): CardValue {
  const plain = text.replaceAll('_', '')
  const negative = plain.startsWith('-')
  const digits = plain.replace(/^[-+]/, '')
  if (digits.length > MAX_DIGITS) return { other: 'a very long integer' }
  if (digits.includes(':')) return base60(plain)
  const literal = /^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits
  if (literal === '0b' || literal === '0x') return { other: 'an integer without digits' }
  const size = BigInt(literal)
  const value = negative ? -size : size
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
}

/** `1:30` is 90: hours, minutes and seconds of YAML 1.1. */
function base60(text: string): number {
  const size = text
    .replace(/^[-+]/, '')
    .split(':')
    .reduce((sum, part) => sum * 60 + Number(part), 0)
  return text.startsWith('-') ? -size : size
}
