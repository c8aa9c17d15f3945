import { total } from "./price";
test("total", () => total([]));
