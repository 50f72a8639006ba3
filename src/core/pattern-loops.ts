/**
 * Patterns that a backtracking matcher may take exponential time for: a repeat of a repeat with nothing firm between,
 * as in `(a+)+`, where a text can be cut into repeats in exponentially many ways.
 */
import type { PatternNode } from './pattern-syntax.js'

const MANY = 8 // so many repeats of an endless repeat are as bad as endless ones

/** Whether some endless repeat holds nothing but an endless repeat. */
export function repeatsLooseRepeat(node: PatternNode): boolean {
  switch (node.kind) {
    case 'character':
    case 'anchor':
      return false
    case 'sequence':
      return node.items.some(repeatsLooseRepeat)
    case 'choice':
      return node.options.some(repeatsLooseRepeat)
    case 'repeat':
      return (node.most > MANY && isLoose(node.item)) || repeatsLooseRepeat(node.item)
  }
}

/** Whether a node can be an endless repeat and nothing else. */
function isLoose(node: PatternNode): boolean {
  switch (node.kind) {
    case 'character':
    case 'anchor':
      return false
    case 'sequence':
      return node.items.some(isLoose) && node.items.every((item) => isLoose(item) || canBeEmpty(item))
    case 'choice':
      return node.options.some(isLoose)
    case 'repeat':
      return (node.most === Infinity && !canBeOnlyEmpty(node.item)) || isLoose(node.item)
  }
}

function canBeEmpty(node: PatternNode): boolean {
  switch (node.kind) {
    case 'character':
      return false
    case 'anchor':
      return true
    case 'sequence':
      return node.items.every(canBeEmpty)
    case 'choice':
      return node.options.some(canBeEmpty)
    case 'repeat':
      return node.least === 0 || canBeEmpty(node.item)
  }
}

function canBeOnlyEmpty(node: PatternNode): boolean {
  switch (node.kind) {
    case 'character':
      return false
    case 'anchor':
      return true
    case 'sequence':
      return node.items.every(canBeOnlyEmpty)
    case 'choice':
      return node.options.every(canBeOnlyEmpty)
    case 'repeat':
      return node.most === 0 || canBeOnlyEmpty(node.item)
  }
}
