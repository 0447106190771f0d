// Eight pictures without a seed with fal's Java client, every other one followed, and one line of JSON about them.

import ai.fal.client.ClientConfig;
import ai.fal.client.CredentialsResolver;
import ai.fal.client.FalClient;
import ai.fal.client.RunOptions;
import ai.fal.client.SubscribeOptions;
import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

public class Pictures {
  public static void main(String[] args) {
    String model = System.getenv("MODEL");
    FalClient fal = FalClient.withConfig(ClientConfig.builder()
        .withCredentials(CredentialsResolver.fromApiKey(System.getenv("FAL_KEY")))
        .withProxyUrl(System.getenv("FALGATE_URL") + "/api/fal/proxy")
        .build());
    List<String> urls = new ArrayList<>();
    List<String> seeds = new ArrayList<>();
    for (int n = 1; n <= 8; n += 1) {
      Map<String, Object> input = Map.of("prompt", "picture " + n);
      JsonObject made = n % 2 == 1
          ? fal.run(model, RunOptions.withInput(input)).getData()
          : fal.subscribe(model, SubscribeOptions.<JsonObject>builder().input(input).resultType(JsonObject.class).logs(true).onQueueUpdate(update -> {}).build()).getData();
      urls.add(made.getAsJsonArray("images").get(0).getAsJsonObject().get("url").getAsString());
      seeds.add(Long.toString(made.get("seed").getAsLong()));
    }
    System.out.println(new Gson().toJson(Map.of("urls", urls, "seeds", seeds)));
    // The client's threads outlive it.
    System.exit(0);
  }
}
