import { Item } from "./item.js";
import type { Price } from "@/price";

export interface Cart<T> extends Base, Other<T> {
  items: T[];
  add(item: T): void;
}

export type Id = string | number;
export enum Kind { A, B }

export abstract class Store<T> implements Cart<T> {
  items: T[] = [];
  private secret(): void {}
  @log()
  add(item: T): void { this.items.push(item); }
  abstract size(): number;
  static from = <T>(x: T[]): T[] => x;
}

export function overload(a: string): string;
export function overload(a: number): number;
export function overload(a: any): any { return a; }

namespace Inner {
  export function deep(): void {}
}

export default function main(): Item { return new Item(); }
