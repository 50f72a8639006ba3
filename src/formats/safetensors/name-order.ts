/**
 * The order of names that safetensors' writer and the reference converter share: by code point, which is the order of
 * the UTF-8 bytes. JavaScript's own `<` goes by UTF-16 unit and puts U+10000 before U+FFFF.
 */

/** For `sort`: negative when `a` comes first. */
export function compareNames(a: string, b: string): number {
  const common = Math.min(a.length, b.length)
  for (let i = 0; i < common; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return codePointRank(x) - codePointRank(y)
  }
  return a.length - b.length
}

/** A surrogate belongs to a code point above every lone unit: move it past U+FFFF. */
function codePointRank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit
}
