"""Monthly revenue, growth and the best product of a table of orders, with pandas.

The table is text in CSV form: the input's `csv`, or else the orders.csv that was deployed beside this file.
"""

import io
from pathlib import Path

import pandas as pd


def handler(input, env):
    source = io.StringIO(input["csv"]) if "csv" in input else Path(__file__).with_name("orders.csv")
    orders = pd.read_csv(source, parse_dates=["date"])
    print(f"{len(orders)} orders from {orders.date.min():%d %B %Y} to {orders.date.max():%d %B %Y}")
    monthly = orders.groupby(orders.date.dt.to_period("M")).agg(
        orders=("amount", "size"), revenue=("amount", "sum")
    )
    monthly["growth_percent"] = (monthly.revenue.pct_change() * 100).round(1)
    monthly.index = monthly.index.astype(str)
    # JSON has no NaN: the first month has no growth.
    months = monthly.reset_index(names="month").astype(object).where(lambda table: table.notna(), None)
    return {
        "months": months.to_dict("records"),
        "best_product": orders.groupby("product").amount.sum().idxmax(),
        "median_order": float(orders.amount.median()),
    }
