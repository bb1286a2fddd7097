/** What was asked for last; the old answer stays, with its key, until the new one is there. */
export class Latest<T> {
  value = $state.raw<T | null>(null);
  key = $state("");
  problem = $state("");
  waiting = $state(false);
  #asked = 0;

  ask(promise: Promise<T>, key = ""): void {
    const number = ++this.#asked;
    this.waiting = true;
    promise.then(
      (value) => this.#settle(number, key, value, ""),
      (error: Error) => this.#settle(number, key, null, error.message),
    );
  }

  /** The answer, where it is the one to this key. */
  of(key: string): T | null {
    return this.key === key ? this.value : null;
  }

  #settle(number: number, key: string, value: T | null, problem: string): void {
    if (number !== this.#asked) return;
    this.value = value;
    this.key = key;
    this.problem = problem;
    this.waiting = false;
  }
}
