"""An agent that reviews annotations: it rejects what is broken, flags what is odd, and approves the rest.

`input` is the event's payload. A flag puts it into the inbox of people, whose decision is final.
"""


def handler(input, env):
    boxes = input.get("result_data") or []
    if not boxes:
        return {"action": "flag", "reason": "There are no annotations."}
    broken = [box["label"] for box in boxes if box["width"] <= 0 or box["height"] <= 0]
    if broken:
        return {"action": "reject", "reason": f"Empty boxes: {', '.join(broken)}."}
    small = [box["label"] for box in boxes if box["width"] * box["height"] < int(env["SMALLEST_AREA"])]
    if small:
        return {"action": "flag", "reason": f"Very small: {', '.join(small)}.", "metadata": {"boxes": small}}
    print(f"{len(boxes)} boxes are fine")
    return {"action": "approve", "metadata": {"boxes": len(boxes)}}
