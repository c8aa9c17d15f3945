import { Item } from "./item";
export const View: React.FC<Props> = ({ item }) => <div>{item}</div>;
export function plain(): number { return 1; }
