export class Item {}
export const price = (i: Item): number => 1;
