import type { KernelReport } from '../../../live/wire/messages.ts';
import { type FakeGroup, reportOf } from './fake-group.ts';

/** The logs of all kernels of agents in memory: one of each is true, others may not have heard. */
export class FakeGroups {
  readonly now = new Map<string, FakeGroup>();
  /** groups of kernels that began anew elsewhere, until their members are stopped */
  readonly #former = new Map<string, FakeGroup[]>();

  all(kernel: string): FakeGroup[] {
    const now = this.now.get(kernel);
    return [...(this.#former.get(kernel) ?? []), ...(now === undefined ? [] : [now])];
  }

  /** The kernel begins anew. */
  replace(kernel: string, group: FakeGroup): void {
    const before = this.now.get(kernel);
    if (before !== undefined) this.#former.set(kernel, this.all(kernel));
    this.now.set(kernel, group);
  }

  /** Of several groups of a kernel that have one member each, the one on this host is meant. */
  goOnAt(host: string, kernel: string): void {
    const isHere = ({ members }: FakeGroup): boolean =>
      [...members.values()].some((each) => each.host === host);
    const now = this.now.get(kernel);
    const there = this.#former.get(kernel)?.find(isHere);
    if (now === undefined || there === undefined || isHere(now)) return;
    const others = this.#former.get(kernel)!.filter((each) => each !== there);
    this.#former.set(kernel, [...others, now]);
    this.now.set(kernel, there);
  }

  every(): FakeGroup[] {
    return [...this.now.keys()].flatMap((kernel) => this.all(kernel));
  }

  reports(host: string): KernelReport[] {
    return [...this.now.keys()].flatMap((kernel) =>
      this.all(kernel).flatMap((group) =>
        [...group.members].flatMap(([member, each]) =>
          each.host === host ? [reportOf(kernel, group, member)] : [],
        ),
      ),
    );
  }
}
