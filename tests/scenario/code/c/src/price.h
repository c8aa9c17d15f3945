unsigned price_sum(void);
