// What a person types as arguments.

/** Words as a shell reads them, without its variables. */
export function words(text: string): string[] {
  const found: string[] = []
  for (const [whole] of text.matchAll(/(?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+/g)) {
    found.push(
      whole.replace(/\\(.)|'([^']*)'|"((?:[^"\\]|\\.)*)"/g, (_, escaped, single, double) =>
        escaped ?? single ?? (double as string).replace(/\\(["\\$`])/g, '$1'),
      ),
    )
  }
  return found
}

export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, `'\\''`)}'`
}
