/**
 * A small interpreter of Go's text/template, and of what Ollama does around it: enough to prove what a TEMPLATE writes.
 *
 * Subset: text, `{{-` and `-}}`, if / else if / else / end, range $i, $v := x, $x := and $x = , .Field, $x.Field, strings, integers, ( ), eq ne not and or len slice.
 * Laws: Go text/template; ollama template/template.go `Execute`, `collate`, `deleteNode`.
 */

type Value = string | number | boolean | undefined | readonly Value[] | ReadonlyMap<string, Value>
type Expression =
  | { readonly kind: 'path'; readonly root: string; readonly fields: readonly string[] }
  | { readonly kind: 'literal'; readonly value: Value }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] }
type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly value: Expression }
  | { readonly kind: 'declare' | 'assign'; readonly name: string; readonly value: Expression }
  | { readonly kind: 'if'; readonly test: Expression; readonly body: readonly Node[]; readonly otherwise: readonly Node[] }
  | { readonly kind: 'range'; readonly index: string; readonly item: string; readonly over: Expression; readonly body: readonly Node[] }

export interface Message {
  readonly role: string
  readonly content: string
}

/** The prompt that Ollama sends for a chat. `server` is 'messages' from 0.2.2 on; before, the template ran once for each exchange. */
export function renderLikeOllama(template: string, chat: readonly Message[], server: 'messages' | 'exchanges'): string {
  const nodes = parseGoTemplate(template)
  const messages = collate(chat)
  if (server === 'messages') {
    const system = chat.filter(({ role }) => role === 'system').map(({ content }) => content)
    const list = messages.map(
      ({ role, content }) =>
        new Map<string, Value>([
          ['Role', role],
          ['Content', content],
        ]),
    )
    return execute(
      nodes,
      new Map<string, Value>([
        ['System', system.join('\n\n')],
        ['Messages', list],
        ['Response', ''],
      ]),
    )
  }
  let text = ''
  let system = ''
  let prompt = ''
  let response = ''
  const flush = (list: readonly Node[]): void => {
    text += execute(
      list,
      new Map([
        ['System', system],
        ['Prompt', prompt],
        ['Response', response],
      ]),
    )
    system = prompt = response = ''
  }
  for (const { role, content } of messages) {
    if (role === 'system') {
      if (prompt !== '' || response !== '') flush(nodes)
      system = content
    } else if (role === 'user') {
      if (response !== '') flush(nodes)
      prompt = content
    } else response = content
  }
  flush(cutAfterResponse(nodes))
  return text
}

/** Old servers look for {{ .Response }} among the top-level nodes only; what follows is not sent. */
function cutAfterResponse(nodes: readonly Node[]): readonly Node[] {
  const at = nodes.findIndex((node) => node.kind === 'print' && node.value.kind === 'path' && node.value.fields[0] === 'Response')
  if (at < 0) throw new Error('no {{ .Response }} at the top level: old servers would append one')
  return nodes.slice(0, at + 1)
}

function collate(chat: readonly Message[]): readonly Message[] {
  const collated: Message[] = []
  for (const message of chat) {
    const last = collated.at(-1)
    if (last?.role === message.role) collated[collated.length - 1] = { role: message.role, content: `${last.content}\n\n${message.content}` }
    else collated.push(message)
  }
  return collated
}

/** Parses a template. Throws on what the subset does not know. */
export function parseGoTemplate(source: string): readonly Node[] {
  const tokens = split(source)
  let at = 0
  const parseList = (...ends: readonly string[]): { nodes: readonly Node[]; end: string } => {
    const nodes: Node[] = []
    for (; at < tokens.length;) {
      const token = tokens[at++]
      if (token === undefined) break
      if ('text' in token) {
        if (token.text !== '') nodes.push({ kind: 'text', text: token.text })
        continue
      }
      const action = token.action
      if (ends.some((end) => action === end || action.startsWith(`${end} `))) return { nodes, end: action }
      nodes.push(parseAction(action))
    }
    if (ends.length > 0) throw new Error(`{{ ${ends.join(' }} or {{ ')} }} is missing`)
    return { nodes, end: '' }
  }
  const parseIf = (test: string): Node => {
    const then = parseList('else', 'end')
    let otherwise: readonly Node[] = []
    if (then.end.startsWith('else if ')) otherwise = [parseIf(then.end.slice(8))]
    else if (then.end === 'else') otherwise = parseList('end').nodes
    return { kind: 'if', test: parseExpression(test), body: then.nodes, otherwise }
  }
  const parseAction = (action: string): Node => {
    if (action.startsWith('if ')) return parseIf(action.slice(3))
    const range = /^range (\$\w+), (\$\w+) := (.+)$/.exec(action)
    if (range !== null)
      return { kind: 'range', index: range[1] ?? '', item: range[2] ?? '', over: parseExpression(range[3] ?? ''), body: parseList('end').nodes }
    const set = /^(\$\w+) (:?=) (.+)$/.exec(action)
    if (set !== null) return { kind: set[2] === '=' ? 'assign' : 'declare', name: set[1] ?? '', value: parseExpression(set[3] ?? '') }
    return { kind: 'print', value: parseExpression(action) }
  }
  return parseList().nodes
}

function split(source: string): readonly ({ readonly text: string } | { readonly action: string })[] {
  const tokens: ({ text: string } | { action: string })[] = []
  let from = 0
  let trimNext = false
  for (const match of source.matchAll(/\{\{(-\s)?\s*([\s\S]*?)\s*(\s-)?\}\}/g)) {
    const text = source.slice(from, match.index)
    tokens.push({ text: trim(text, trimNext, match[1] !== undefined) }, { action: match[2] ?? '' })
    from = match.index + match[0].length
    trimNext = match[3] !== undefined
  }
  const rest = source.slice(from)
  if (rest.includes('{{')) throw new Error('unclosed action')
  tokens.push({ text: trim(rest, trimNext, false) })
  return tokens
}

function trim(text: string, start: boolean, end: boolean): string {
  const left = start ? text.trimStart() : text
  return end ? left.trimEnd() : left
}

function parseExpression(source: string): Expression {
  const words = source.match(/"[^"]*"|[()]|[^\s()]+/g) ?? []
  let at = 0
  const operand = (): Expression => {
    const word = words[at++] ?? ''
    if (word === '(') {
      const inner = command()
      if (words[at++] !== ')') throw new Error(`) missing in ${source}`)
      return inner
    }
    if (word.startsWith('"')) return { kind: 'literal', value: word.slice(1, -1) }
    if (/^\d+$/.test(word)) return { kind: 'literal', value: Number(word) }
    if (/^(?:\$\w*)?(?:\.\w+)*$/.test(word) && word !== '') {
      const [root = '', ...fields] = word.split('.')
      return { kind: 'path', root: root === '' ? '.' : root, fields }
    }
    if (/^\w+$/.test(word)) return { kind: 'call', name: word, args: [] }
    throw new Error(`cannot read ${word} in ${source}`)
  }
  const command = (): Expression => {
    const first = operand()
    if (first.kind !== 'call' || first.args.length > 0) return first
    const args: Expression[] = []
    while (at < words.length && words[at] !== ')') args.push(operand())
    return { kind: 'call', name: first.name, args }
  }
  const expression = command()
  if (at < words.length) throw new Error(`more than one value in ${source}`)
  return expression
}

function execute(nodes: readonly Node[], data: ReadonlyMap<string, Value>): string {
  return run(nodes, data, [new Map<string, Value>([['$', data]])])
}

function run(nodes: readonly Node[], dot: Value, outer: readonly Map<string, Value>[]): string {
  const scopes = [...outer, new Map<string, Value>()]
  let text = ''
  for (const node of nodes) {
    if (node.kind === 'text') text += node.text
    else if (node.kind === 'print') text += printed(evaluate(node.value, dot, scopes))
    else if (node.kind === 'if') text += run(isTrue(evaluate(node.test, dot, scopes)) ? node.body : node.otherwise, dot, scopes)
    else if (node.kind === 'range') text += runRange(node, dot, scopes)
    else {
      const scope = node.kind === 'declare' ? scopes.at(-1) : scopes.findLast((variables) => variables.has(node.name))
      if (scope === undefined) throw new Error(`undefined variable ${node.name}`)
      scope.set(node.name, evaluate(node.value, dot, scopes))
    }
  }
  return text
}

function runRange(node: Extract<Node, { kind: 'range' }>, dot: Value, scopes: readonly Map<string, Value>[]): string {
  const over = evaluate(node.over, dot, scopes)
  if (!Array.isArray(over)) throw new Error('range wants a list')
  return over
    .map((item: Value, index) =>
      run(node.body, item, [
        ...scopes,
        new Map<string, Value>([
          [node.index, index],
          [node.item, item],
        ]),
      ]),
    )
    .join('')
}

function evaluate(expression: Expression, dot: Value, scopes: readonly Map<string, Value>[]): Value {
  if (expression.kind === 'literal') return expression.value
  if (expression.kind === 'call')
    return call(
      expression.name,
      expression.args.map((argument) => evaluate(argument, dot, scopes)),
    )
  let value = expression.root === '.' ? dot : scopes.findLast((variables) => variables.has(expression.root))?.get(expression.root)
  if (expression.root !== '.' && !scopes.some((variables) => variables.has(expression.root))) throw new Error(`undefined variable ${expression.root}`)
  for (const field of expression.fields) {
    if (!(value instanceof Map)) throw new Error(`no field ${field} in ${String(value)}`)
    value = value.get(field)
  }
  return value
}

function call(name: string, [first, ...rest]: readonly Value[]): Value {
  if (name === 'eq') return rest.some((value) => value === first)
  if (name === 'ne') return first !== rest[0]
  if (name === 'not') return !isTrue(first)
  if (name === 'and') return [first, ...rest].find((value) => !isTrue(value)) ?? rest.at(-1)
  if (name === 'or') return [first, ...rest].find(isTrue) ?? rest.at(-1)
  if (name === 'len' && (Array.isArray(first) || typeof first === 'string')) return first.length
  if (name === 'slice' && Array.isArray(first) && typeof rest[0] === 'number') return first.slice(rest[0])
  throw new Error(`function ${name} is not known here`)
}

function isTrue(value: Value): boolean {
  if (Array.isArray(value)) return value.length > 0
  return value instanceof Map ? value.size > 0 : Boolean(value)
}

function printed(value: Value): string {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw new Error('printed a missing value: Go would write <no value>')
}
