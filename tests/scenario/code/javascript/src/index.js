import express, { Router } from "express";
import fs from "node:fs";
import { total as sum } from "./price";
export * from "./cart.jsx";

export function start(port) {
  // function notOne() {}
  return express().listen(port);
}

export const stop = async (server) => {
  const wait = () => 1;
  return server.close(wait());
};

function* numbers() { yield 1; }

const helpers = {
  double(x) { return 2 * x; },
  triple: function (x) { return 3 * x; },
  "quoted": (x) => x,
};

class Store {
  #secret() {}
  get size() { return 0; }
  static create() { return new Store(); }
  onChange = (e) => e;
}

class Shop extends Store {}

export default Shop;
