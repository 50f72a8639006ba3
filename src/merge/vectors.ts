/** Vectors in f64, element after element: what dense linear algebra is made of here. */

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}

/** `into += factor * vector` */
export function addMultiple(into: Float64Array, vector: Float64Array, factor: number): void {
  for (let i = 0; i < into.length; i++) into[i]! += factor * vector[i]!
}
