/** The integer types of GGUF metadata that are numbers in JS, with their smallest and largest values. */
export const INTEGER_LIMITS = [
  ['u8', 0, 255],
  ['i8', -128, 127],
  ['u16', 0, 65_535],
  ['i16', -32_768, 32_767],
  ['u32', 0, 4_294_967_295],
  ['i32', -2_147_483_648, 2_147_483_647],
] as const
