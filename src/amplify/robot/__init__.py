"""Policies on robots, simulated ones among them; the loop itself, without torch, is `amplify_client.realtime`."""
