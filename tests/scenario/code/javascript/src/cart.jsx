const { total } = require("./price");

export function Cart({ items, onBuy }) {
  return <ul>{items.map((i) => <li>{i}</li>)}</ul>;
}

export const helper = (a) => a;
exports.legacy = function legacy(a) { return total(a); };
